"""Counts words."""

import re

from sparkjobserver.api import SparkJob, build_problems

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class WordCountSparkSessionJob(SparkJob):
    """Counts the words of ``input.strings`` (a list) or ``input.text``.

    With ``top`` only the most frequent ones are returned, most frequent first.
    """

    def validate(self, context, runtime, config):
        strings = config.get("input.strings", None)
        text = config.get("input.text", None)
        if strings:
            return strings, config.get_int("top", None)
        if text:
            return text.splitlines(), config.get_int("top", None)
        return build_problems(["config input.strings not found"])

    def run_job(self, context, runtime, data):
        lines, top = data
        counts = (
            context.sparkContext.parallelize(lines)
            .flatMap(lambda line: _WORD.findall(line.lower()))
            .map(lambda word: (word, 1))
            .reduceByKey(lambda one, other: one + other)
        )
        if top is None:
            return dict(counts.collect())
        return dict(counts.takeOrdered(top, key=lambda pair: (-pair[1], pair[0])))
