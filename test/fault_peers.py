# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Peers of the node in processes of their own, to be killed and to misbehave.

`camera` publishes images until it is killed; `deaf` subscribes to topics, reliable and keep-all,
and never reads.
"""

from __future__ import annotations

import argparse
import time

import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from faulty_model import image
from segnode.ros.image_codec import fill_image

RELIABILITIES = {'reliable': ReliabilityPolicy.RELIABLE,
                 'best_effort': ReliabilityPolicy.BEST_EFFORT}


def camera(options: argparse.Namespace) -> None:
    """Publish images until killed; the label of a frame tells its number modulo 10."""
    node = rclpy.create_node('camera')
    publisher = node.create_publisher(Image, options.topic, QoSProfile(
        depth=5, reliability=RELIABILITIES[options.reliability]))
    print('ready', flush=True)
    number = 0
    while True:
        msg = fill_image(Image(), image(24 * (number % 10), (options.height, options.width)),
                         'bgr8')
        msg.header.stamp = node.get_clock().now().to_msg()
        msg.header.frame_id = options.frame_id
        publisher.publish(msg)
        number += 1
        time.sleep(1.0 / options.rate)


def deaf(options: argparse.Namespace) -> None:
    """Subscribe and never spin, so that nothing is ever taken."""
    node = rclpy.create_node('deaf')
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_ALL, depth=1, reliability=ReliabilityPolicy.RELIABLE)
    kept = [node.create_subscription(Image, topic, print, profile) for topic in options.topics]
    print('ready', len(kept), flush=True)
    while True:
        time.sleep(1.0)


def main() -> None:
    """Become the peer that the command line names."""
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest='kind', required=True)
    one = kinds.add_parser('camera')
    one.add_argument('--topic', default='image')
    one.add_argument('--rate', type=float, default=30.0)
    one.add_argument('--reliability', choices=RELIABILITIES, default='reliable')
    one.add_argument('--height', type=int, default=128)
    one.add_argument('--width', type=int, default=256)
    one.add_argument('--frame-id', default='camera')
    kinds.add_parser('deaf').add_argument('topics', nargs='+')
    options = parser.parse_args()
    rclpy.init()
    {'camera': camera, 'deaf': deaf}[options.kind](options)


if __name__ == '__main__':
    main()
