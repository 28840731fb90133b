"""Jobs that fail, and jobs with odd results: what a job server must take without harm."""

import os
import signal
import subprocess
import sys
import time

from sparkjobserver.api import SparkJob


class NoOpJob(SparkJob):
    """Returns 1."""

    def validate(self, context, runtime, config):
        return config

    def run_job(self, context, runtime, data):
        return 1


class FailingValidateJob(NoOpJob):
    def validate(self, context, runtime, config):
        raise ValueError("validate failed as asked")


class FailingRunJob(NoOpJob):
    def run_job(self, context, runtime, data):
        raise ValueError("run failed as asked")


class FailingTaskJob(NoOpJob):
    """Fails on an executor."""

    def run_job(self, context, runtime, data):
        return context.sparkContext.parallelize([1], 1).map(lambda n: n // 0).collect()


class FailingConstructorJob(NoOpJob):
    def __init__(self):
        raise RuntimeError("constructed in vain")


class NoJob(object):
    """Has none of a job's methods."""


class OddResultsJob(NoOpJob):
    """One of each type that JSON has no word for."""

    def run_job(self, context, runtime, data):
        row = context.createDataFrame([(1, "a")], ["n", "text"]).first()
        return {
            "set": {3, 1, 2},
            "nan": float("nan"),
            "tuple": (20, 1250.0),
            "row": row,
            "none": None,
            "big": 2**70,
            5: [True, "é"],
        }


class EnvironmentJob(NoOpJob):
    """What a job sees of its place, and whether secrets came along."""

    def run_job(self, context, runtime, data):
        with open("/proc/self/environ", "rb") as file:
            initial = file.read().decode("utf-8", "replace")
        with open("/proc/self/cmdline", "rb") as file:
            arguments = file.read().decode("utf-8", "replace")
        secret = os.environ["PYSPARK_GATEWAY_SECRET"]
        return {
            "job": runtime.jobId,
            "context": runtime.contextConfig.get("spark.executor.memory", None),
            "application": context.sparkContext.applicationId,
            "secret_in_sight": secret in initial or secret in arguments,
        }


class LargeResultJob(NoOpJob):
    """Returns a text of ``bytes`` bytes."""

    def run_job(self, context, runtime, data):
        return "x" * data.get_int("bytes")


class LoudJob(NoOpJob):
    """Prints ``bytes`` bytes."""

    def run_job(self, context, runtime, data):
        line = "loud " * 2000 + "\n"
        for _ in range(data.get_int("bytes") // len(line) + 1):
            sys.stdout.write(line)
        return "printed"


class SuddenEndJob(NoOpJob):
    """Its process ends without a word to the driver."""

    def run_job(self, context, runtime, data):
        print("about to end suddenly", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


class StubbornJob(NoOpJob):
    """Ignores SIGTERM, and starts something that outlives it."""

    def run_job(self, context, runtime, data):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        print("stubborn", flush=True)
        time.sleep(600)


class StopsContextJob(NoOpJob):
    """Tries to stop the context that it shares with others."""

    def run_job(self, context, runtime, data):
        context.stop()
        context.sparkContext.stop()
        return context.sparkContext.parallelize([1, 2]).sum()
