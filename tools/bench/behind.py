"""Why varve is behind where it is, and what it would take: written by hand, by measure (figures.py).
The report puts it beside the figures; a measure that is behind without an entry says so."""

REASONS = {
    'size_flushed': (
        'A block is compressed by itself so that a slice reads one block: doubles keep their value '
        'order, without a pass of a general compressor over them.',
        'A better code for the digits of doubles; zstd over what is left, for columns that are read '
        'rarely.'),
    'amplification': (
        'Rows are written to the log as they come and once more to files; log files are written '
        'whole when they are made, and half of a small set is that.',
        'Compressed log records; log files that grow with what is written to them.'),
    'memory_load': (
        'Rows stay in memory until a share of the memory limit is full, however small the set is.',
        'A smaller `memory_limit`, if that counts more than fewer files.'),
    'first_answer': (
        'A slice of rows in memory merges what each writer left there.',
        'Nothing that would be worth its price: it is microseconds once.'),
    'slice_p99': (
        'The slowest of a hundred slices find a block that is not decoded yet.',
        'A larger cache of decoded blocks beside the one of pages.'),
    'reopen': (
        'varve reads back its whole log, checks it, and builds the rows in memory anew; an engine '
        'that reads its log page by page on demand, or wrote the rows to its files at each '
        'commit, has nothing to do before the first answer.',
        'A flush of what lies in memory before that much log has come together, or reading the log '
        'back in several threads.'),
    'cold_slice': (
        'The first slice in a file reads the file\'s index, its statistics and the block: several '
        'dependent reads, where a B-tree or a block index that is pinned needs fewer.',
        'Footer, index and statistics in one read when the store is opened.'),
    'cold_total': (
        'A store that is opened reads its log\'s end and every file\'s index before the first '
        'answer.', 'The same as for slices.'),
    'late_size': (
        'As for the size on disk; and late rows lie in files of their own until files are merged.',
        'Merging of files that overlap in time.'),
}
# Measures that are behind for another one's reason.
SAME_REASON = {'size_merged': 'size_flushed', 'amplification_merged': 'amplification',
               'memory_slices': 'memory_load', 'memory_questions': 'memory_load',
               'slice_p999': 'slice_p99', 'hour_p99': 'slice_p99', 'cold_hourly_all': 'cold_total'}


def reason(key):
    """Why, and what it would take; or None."""
    return REASONS.get(key) or REASONS.get(SAME_REASON.get(key))
