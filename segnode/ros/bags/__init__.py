# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Segmenting recorded bags: what `segnode.ros.segment_bag` is made of. Needs no ROS installation.

    options.py    what was asked for
    discovery.py  which bags lie where, and where their outputs go
    recording.py  a bag on disk: its files, topics and messages
    convert.py    bags that must be brought into another form first
    cameras.py    which topics are segmented, and what their masks are called
    engine.py     the segmenters, one for each worker
    masks.py      image messages to serialised mask messages
    journal.py    what is done so far, in a file that survives a kill
    mcap_file.py, sqlite_file.py  a copy of a storage file with masks put in
    metadata.py   metadata.yaml
    work_folder.py  where an output is made before it gets its name
    job.py        one bag, from all of these
    fleet.py      many bags, here or on a Ray cluster
"""
