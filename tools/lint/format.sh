#!/bin/sh
# format.sh ROOT: every C file is laid out as .clang-format says. Exit status 77 (skipped) without
# clang-format 14, whose layout it is.
set -eu
cd "$1"
command -v clang-format-14 >/dev/null || exit 77
find include storage index compaction tools tests fuzz examples -name '*.[ch]' -print0 2>/dev/null |
    xargs -0 clang-format-14 --dry-run -Werror
