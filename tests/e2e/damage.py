"""Ledgers with damage."""

import shutil


def with_flipped_bit(data_dir, name, place, bit, to):
    """Copies the directory to `to`, with one bit of the file `name` flipped."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(data_dir, to)
    content = bytearray((to / name).read_bytes())
    content[place] ^= 1 << bit
    (to / name).write_bytes(content)
    return to
