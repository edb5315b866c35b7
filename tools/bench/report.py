"""Writes BENCHMARKS.md and charts from the lines of results.jsonl.

    report.py OUT     once more, from OUT/results.jsonl
"""

import dataclasses
import os
import sys

import answers
import figures
import results

try:
    import charts
except ImportError:  # no matplotlib: the report says so
    charts = None

SCALES = ((1e9, 'G'), (1e6, 'M'), (1e3, 'k'), (1, ''))


def scaled(value):
    for size, letter in SCALES:
        if value >= size:
            return f'{value / size:.3g} {letter}'.strip()
    return f'{value:.3g}'


def amount(value, unit):
    if unit == 's':
        if value >= 1000:
            return f'{value:,.0f} s'
        for size, name in ((1, 's'), (1e-3, 'ms'), (1e-6, 'us')):
            if value >= size:
                return f'{value / size:.3g} {name}'
        return f'{value * 1e9:.3g} ns'
    if unit == 'B':
        return f'{value / (1 << 20):.3g} MiB'
    return scaled(value)


def times(ratio):
    return f'{ratio:.2f}x' if ratio < 10 else f'{ratio:.0f}x'


def cell(table, label, measure):
    figure = table.figure(label, measure.key)
    if figure is None:
        return '-'
    text = amount(figure.median, measure.unit)
    if len(figure.values) > 1:
        text += f' ±{100 * figure.spread:.0f} %'
    ratio = table.ratio(label, measure.key)
    return text if ratio is None or label == table.base(label) else f'{text}, **{times(ratio)}**'


def rows_text(rows):
    return f'{rows:,}'


def group_lines(table, group):
    """A table of one group, without the measures that nobody has."""
    measures = [m for m in group.measures
                if any(table.figure(label, m.key) for label in table.raw)]
    labels = [label for label in table.raw if any(table.figure(label, m.key) for m in measures)]
    if not labels:
        return []
    lines = ['', f'### {group.title}: {table.name}, {rows_text(table.rows)} rows', '', group.note,
             '', '| | ' + ' | '.join(m.title for m in measures) + ' |',
             '|---|' + '---|' * len(measures)]
    for label in labels:
        lines.append(f'| {label} | ' + ' | '.join(cell(table, label, m) for m in measures) + ' |')
    return lines


def goal_lines(tables):
    """The goals whose peers were measured, set by set."""
    lines = ['', '## Goals', '', '| goal | set | reached | |', '|---|---|---|---|']
    for goal in figures.GOALS:
        for table in tables:
            ratio = table.reached(goal)
            if ratio is not None:
                verdict = 'yes' if ratio >= goal.least else f'**no**, {times(goal.least)} wanted'
                lines.append(f'| {goal.text} | {table.name}, {rows_text(table.rows)} | '
                             f'{times(ratio)} | {verdict} |')
    return lines


def behind(tables):
    """Where another engine does better than varve with as many threads, worst first."""
    found = []
    for table in tables:
        for label in table.raw:
            if label == table.base(label):
                continue
            for key, measure in figures.MEASURES.items():
                ratio = table.ratio(label, key)
                if ratio is not None and ratio < 1:
                    found.append((ratio, table, label, measure))
    return sorted(found, key=lambda item: item[0])


def behind_lines(tables):
    lines = ['', '## Where varve is behind', '',
             'Every figure of this run in which another engine did better, the greatest '
             'difference first.', '']
    found = behind(tables)
    if not found:
        return lines + ['In none of the measures above; what was not run may differ.']
    lines += ['| measure | set | engine | its figure | varve | times better |',
              '|---|---|---|---|---|---|']
    for ratio, table, label, measure in found:
        mine = (table.figure(table.base(label), measure.key)
                or table.figure(table.base(label), figures.INSTEAD[measure.key]))
        theirs = table.figure(label, measure.key)
        lines.append(f'| {figures.full_title(measure)} | {table.name}, {rows_text(table.rows)} | {label} | '
                     f'{amount(theirs.median, measure.unit)} | '
                     f'{amount(mine.median, measure.unit)} | {times(1 / ratio)} |')
    return lines


def of_measure(lines, measure):
    return [line for line in lines if line.get('measure') == measure]


def setting_lines(lines):
    out = ['', '## Engines and settings', '', '| configuration | version | settings |',
           '|---|---|---|']
    for line in of_measure(lines, 'peer'):
        out.append(f"| {line['configuration']} | {line['version']} | {line['settings']} |")
    absent = of_measure(lines, 'not_run') + of_measure(lines, 'failure')
    if absent:
        out += ['', '**Not run or not finished:**', '']
        for line in absent:
            where = f" ({line['set']}, {rows_text(line['rows_total'])} rows)" if 'set' in line else ''
            out.append(f"- {line['configuration']}{where}: {line['reason']}")
    return out


def disagreement_lines(lines):
    found = of_measure(lines, 'disagreement')
    if not found:
        return ['', 'All engines gave the same answers to every question; sums of doubles to nine '
                'digits.']
    return ['', '**These answers differ, and their times do not count:**', ''] + [
        f"- {line['configuration']}, {line['set']}, {line['question']}: {line['answer']}, but "
        f"{line['reference_of']} {line['reference']}" for line in found]


def head_lines(lines):
    sittings = of_measure(lines, 'sitting')
    facts = [f'| {name} | {value} |' for name, value in sittings[-1]['machine'].items()]
    commands = [f"| {line['at']} | {line['commit']} | {line['machine']['load before']} | "
                f"`{' '.join(line['words'])}` |" for line in sittings]
    return ['# Benchmarks', '',
            'Made by `sh tools/bench/run.sh`; every line of it can be measured again with the '
            'same command. One engine runs at a time. Each figure is the median of its runs, with '
            'half the distance between the extremes after ±; **bold** says how many times better '
            'varve did with as many threads (below 1: how far it is behind). A dash was not '
            'measured: the engine has no such operation, or too few samples for the percentile.',
            '', '| machine | |', '|---|---|', *facts,
            '', '| sitting | varve | load before it | arguments |', '|---|---|---|---|', *commands]


def origin_lines(lines):
    """When and at which commit each figure was measured."""
    found = {}
    for line in of_measure(lines, 'unit'):
        label, name, rows, part = line['key']
        entry = found.setdefault((label, name, rows), ([], set(), set()))
        entry[0].append(part)
        entry[1].add(line['at'])
        entry[2].add(line['commit'])
    out = ['', '## When it was measured', '',
           'Of each part the last run that came to its end on this machine. A peer is measured again '
           'when it, its settings or what drives it has changed; varve also when its own sources '
           'have.', '', '| configuration | rows | parts | when | commit of varve |',
           '|---|---|---|---|---|']
    for (label, name, rows), (parts, when, commits) in found.items():
        span = min(when) if len(when) == 1 else f'{min(when)} to {max(when)}'
        where = f'{name}, {rows_text(rows)}' if name else f'{rows_text(rows)} of each set'
        out.append(f"| {label} | {where} | {', '.join(parts)} | {span} | "
                   f"{', '.join(sorted(commits))} |")
    return out


def chart_lines(tables, out):
    if charts is None:
        return ['', 'No charts: matplotlib is not installed.']
    lines = ['', '## Charts']
    for table in tables:
        for name, title in charts.draw_all(table, os.path.join(out, 'charts')):
            lines += ['', f'![{title}](charts/{name})']
    return lines


def missing_measures(lines, tables):
    """Of every part that was measured, what it should have given and did not."""
    late = sorted({line['late'] for line in lines if 'late' in line})
    peers = {line['configuration']: line for line in of_measure(lines, 'peer')}
    by_place = {(table.name, table.rows): table for table in tables}
    for line in of_measure(lines, 'unit'):
        label, name, rows, part = line['key']
        table = by_place.get((name, rows))
        if part == 'agreement' or label not in peers or table is None:
            continue
        have = set(table.raw.get(label, {}))
        for key in sorted(figures.required(peers[label], late, part) - have):
            yield f'{label}, {name}, {rows_text(rows)} rows: {key}'
    for line in of_measure(lines, 'not_run') + of_measure(lines, 'failure'):
        yield f"{line['configuration']}: {line['reason']}"


@dataclasses.dataclass
class Verdict:
    missing: list  # measures, and peers
    wrong: list    # answers that differ, and rows that were acknowledged and lost


def write(everything, out):
    """Write the report of all lines of results.jsonl."""
    lines = results.selected(everything)
    differing = answers.disagreements(lines)
    lost = list(answers.lost_rows(lines))
    lines += differing + lost
    tables = figures.tables(lines)
    text = head_lines(lines) + disagreement_lines(lines) + setting_lines(lines)
    text += ['', '## Figures']
    for table in tables:
        for group in figures.GROUPS:
            text += group_lines(table, group)
    text += goal_lines(tables) + behind_lines(tables) + chart_lines(tables, out)
    text += origin_lines(lines)
    with open(os.path.join(out, 'BENCHMARKS.md'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(text) + '\n')
    wrong = [f"{line['configuration']}, {line['question']}" for line in differing]
    wrong += [f"{line['configuration']}: {line['reason']}" for line in lost if line['promised']]
    return Verdict(list(missing_measures(lines, tables)), wrong)


def main():
    write(results.read(os.path.join(sys.argv[1], 'results.jsonl')), sys.argv[1])


if __name__ == '__main__':
    main()
