# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Weights of image classifiers for the networks' backbones, one file per family.

The layouts are of ``training.import_weights.layout``; their ``networks`` are the backbones that
``segnode.networks.zoo.NetworkInfo.backbone`` names, and our names in them begin at the backbone.
"""
