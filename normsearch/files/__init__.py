"""Reading files safely, writing them atomically, and the folders that ship with the package."""

from normsearch.files.whole_files import (
    TEXT,
    cache_folder,
    disk_full,
    find_yaml,
    is_disk_full,
    is_file,
    is_folder,
    is_there,
    open_regular,
    remove_leftovers,
    shipped,
    user_path,
    write_atomically,
    write_bytes,
    write_text,
)

__all__ = [
    "TEXT",
    "cache_folder",
    "disk_full",
    "find_yaml",
    "is_disk_full",
    "is_file",
    "is_folder",
    "is_there",
    "open_regular",
    "remove_leftovers",
    "shipped",
    "user_path",
    "write_atomically",
    "write_bytes",
    "write_text",
]
