"""Whether all engines gave the same answers, and lost nothing that they had acknowledged."""

import math

SAME_QUESTION = {'first_answer': 'first slice', 'reopen': 'first slice'}
TOLERANCE = 1e-9


def differs(answer, reference):
    return len(answer) != len(reference) or not all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for a, b in zip(answer, reference))


def is_comparable(line):
    """A store that lost rows it had not promised to keep may lack those of the question."""
    return 'answer' in line and not (line['measure'] == 'reopen'
                                     and line['rows'] != line['acknowledged'])


def question_of(line):
    """Which answers must be equal: also after late rows, a merge or a kill."""
    return (line['set'], line['rows_total'],
            SAME_QUESTION.get(line['measure'], line['measure']))


def _references(lines):
    """For each question the answer that most engines gave; of two that as many gave, SQLite's, or
    else the first. Several configurations of one engine are one voice."""
    voices = {}
    for line in lines:
        groups = voices.setdefault(question_of(line), [])
        group = next((g for g in groups if not differs(line['answer'], g[0])), None)
        if group is None:
            group = (line['answer'], set())
            groups.append(group)
        group[1].add(line['configuration'].split()[0])
    return {question: max(groups, key=lambda group: (len(group[1]), 'sqlite' in group[1]))[0]
            for question, groups in voices.items()}


OF_A_STORE = ('ingest', 'flush', 'merge', 'size')
ROWS_SAY = ('slice', 'scan', 'first slice')  # answers that hold all columns of rows


def separate(lines):
    """The lines whose times count, and for each configuration and question that was answered
    wrongly one description. Without a right answer to slices the crowd's do not count either; of a
    store that has other rows than all others neither do its loads and its size."""
    answered = [line for line in lines if is_comparable(line)]
    references = _references(answered)
    wrong = {}
    for line in answered:
        question = question_of(line)
        if differs(line['answer'], references[question]):
            wrong.setdefault((line['configuration'], *question), dict(
                configuration=line['configuration'], set=question[0], rows_total=question[1],
                question=question[2], answer=line['answer'], reference=references[question]))

    other_rows = {key[:3] for key in wrong if key[3] in ROWS_SAY}

    def counts(line):
        if line['measure'] == 'slice_crowd':
            return (line['configuration'], line['set'], line['rows_total'], 'slice') not in wrong
        if line['measure'] in OF_A_STORE:
            return (line['configuration'], line['set'], line['rows_total']) not in other_rows
        if line['measure'] == 'reopen' and line['rows'] != line['acknowledged']:
            return not is_promised(line)
        return not is_comparable(line) or (line['configuration'], *question_of(line)) not in wrong

    return [line for line in lines if counts(line)], list(wrong.values())


def is_promised(line):
    """Whether an acknowledged row is there after kill -9."""
    return 'periodic' not in line['configuration']


def lost_rows(lines):
    """Acknowledged rows that a kill -9 lost. Only `periodic` promises nothing."""
    for line in lines:
        if line['measure'] == 'reopen' and line['rows'] != line['acknowledged']:
            yield dict(configuration=line['configuration'], set=line['set'],
                       rows_total=line['rows_total'],
                       promised=is_promised(line),
                       reason=f"{line['acknowledged']} rows were acknowledged, {line['rows']} are "
                              'there after kill -9')
