"""What somebody may have put where a file of one's own is to be."""

from __future__ import annotations

import os


def pipe(place):
    """Make a named pipe, which blocks whoever opens it to read."""
    os.mkfifo(place)


def link(place):
    """Make a link to a file of somebody's."""
    target = place.parent / "theirs"
    target.write_bytes(b"precious")
    place.symlink_to(target)


def second_name(place):
    """Make a second name of a file of somebody's."""
    target = place.parent / "theirs"
    target.write_bytes(b"precious")
    place.hardlink_to(target)


def dangling(place):
    """Make a link to a file that somebody wants to have made."""
    place.symlink_to(place.parent / "wanted")


def folder(place):
    """Make a folder."""
    place.mkdir()


def open_to_all(place):
    """Make a file that anybody may write."""
    place.write_bytes(b"")
    place.chmod(0o666)


def device(place):
    """Make a link to a device that never ends."""
    place.symlink_to("/dev/zero")


TRAPS = [pipe, link, second_name, dangling, folder, open_to_all, device]
