# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory is left, as the machine and as a container's control group say."""

from segnode.available_memory import available_memory


def test_memory_of_a_machine_and_of_a_container(tmp_path):
    assert available_memory(tmp_path) == 0
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/meminfo').write_text('MemTotal: 9000 kB\nMemAvailable:    4000 kB\n')
    assert available_memory(tmp_path) == 4000 * 1024
    group = tmp_path / 'sys/fs/cgroup'
    group.mkdir(parents=True)
    (group / 'memory.max').write_text('max\n')
    (group / 'memory.current').write_text('1000\n')
    assert available_memory(tmp_path) == 4000 * 1024
    (group / 'memory.max').write_text('5000\n')
    assert available_memory(tmp_path) == 4000
    (group / 'memory.stat').write_text('anon 400\ninactive_file 600\n')
    assert available_memory(tmp_path) == 4600
    (group / 'memory').mkdir()
    (group / 'memory/memory.limit_in_bytes').write_text('3000')
    (group / 'memory/memory.usage_in_bytes').write_text('500')
    assert available_memory(tmp_path) == 2500
    assert available_memory() > 0
