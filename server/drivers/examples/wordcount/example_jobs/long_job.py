"""Jobs that last."""

import time

from sparkjobserver.api import SparkJob, build_problems


def _seconds(config):
    seconds = config.get_float("seconds", 10.0)
    return seconds if seconds >= 0 else build_problems(["seconds must not be negative"])


class LongJob(SparkJob):
    """Spends ``seconds`` in one Spark task, so that a kill can cancel it."""

    def validate(self, context, runtime, config):
        return _seconds(config)

    def run_job(self, context, runtime, data):
        def last(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.05)
            return seconds

        spent = context.sparkContext.parallelize([data], 1).map(last).collect()
        return {"seconds": spent[0]}


class SleepJob(SparkJob):
    """Spends ``seconds`` in Python, where Spark cannot cancel it."""

    def validate(self, context, runtime, config):
        return _seconds(config)

    def run_job(self, context, runtime, data):
        time.sleep(data)
        return {"seconds": data}
