"""Runs one Python job on the JVM of its context.

Started by the driver's keeper as ``python -m sparkjobserver.job``. One JSON line on standard input
tells which job; what becomes of it is said as JSON lines on descriptor 3. When standard input ends,
the driver is gone and this process ends too.
"""

import importlib
import json
import math
import os
import shutil
import sys
import threading
import traceback
import zipfile

from sparkjobserver.api import JobEnvironment, ValidationProblem
from sparkjobserver.config import ConfigTree
from sparkjobserver.context import Answers

_MESSAGE_CHARACTERS_MAX = 4096
_STACK_CHARACTERS_MAX = 16384
# The reader of results takes 128 levels.
_DEPTH_MAX = 100
_INTEGER_MAX = 2**63 - 1


class Refused(Exception):
    """The job is refused before it runs; the record's form of why."""

    def __init__(self, refusal):
        super().__init__(refusal["reason"])
        self.refusal = refusal


class ResultRefused(Exception):
    """The job returned something that cannot be kept."""


def main():
    task = json.loads(sys.stdin.buffer.readline())
    answers = Answers()
    os.set_inheritable(task["lock_fd"], False)
    _end_with_driver()
    # Before pyspark is imported, and never in the environment that this process was started with.
    os.environ["PYSPARK_GATEWAY_PORT"] = str(task["port"])
    os.environ["PYSPARK_GATEWAY_SECRET"] = task["secret"]
    context = None
    try:
        _check_package(task)
        context, session = _attach(task["job"])
        job = _load(task, context)
        data = _validate(job, session, _tree_of_file(task["config"]))
        answers.say("running")
        environment = JobEnvironment(
            task["job"], None, ConfigTree(json.loads(task["context_config"]))
        )
        result = job.run_job(session, environment, data)
        _keep(result, task)
        answers.say("finished")
    except Refused as refused:
        answers.say("refused", refusal=refused.refusal)
    except BaseException as error:
        traceback.print_exc()
        answers.say("failed", error=_error_of(error))
    finally:
        if context is not None:
            shutil.rmtree(context._temp_dir, ignore_errors=True)


def _end_with_driver():
    """Standard input belongs to the driver: its end is the driver's end. Jobs see an empty one."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch():
        while os.read(pipe, 4096):
            pass
        os._exit(137)

    threading.Thread(target=watch, daemon=True).start()


def _attach(job_id):
    """The JVM's Spark context and session, as this process sees them."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    gateway = launch_gateway()
    jvm = gateway.jvm
    jsc = jvm.org.apache.spark.api.java.JavaSparkContext.fromSparkContext(
        jvm.org.apache.spark.SparkContext.getOrCreate()
    )
    conf = SparkConf(loadDefaults=False, _jvm=jvm, _jconf=jsc.getConf())
    context = SparkContext(gateway=gateway, jsc=jsc, conf=conf)
    # A kill cancels what runs under this group, interrupting its tasks.
    context.setJobGroup(job_id, job_id, True)
    session = SparkSession(context)

    def stop():
        print("stop() is without effect: the context is shared by all its jobs", file=sys.stderr)

    context.stop = stop
    session.stop = stop
    return context, session


def _check_package(task):
    """Every entry is read once: a cut-off upload must not show as some later error."""
    name = task["package_name"] or task["package"]
    try:
        with zipfile.ZipFile(task["package"]) as package:
            broken = package.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise Refused(
            _loading_failed(
                "the package %s is no whole wheel or egg: %s. Build and upload it again."
                % (name, error)
            )
        )
    if broken is not None:
        message = "the package %s is damaged at %s. Build and upload it again." % (name, broken)
        raise Refused(_loading_failed(message))


def _load(task, context):
    module_name, _, class_name = task["main_class"].rpartition(".")
    if not module_name or not class_name:
        raise Refused({"reason": "class-not-found"})
    sys.path.insert(0, task["package"])
    try:
        context.addPyFile(task["package"])
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        traceback.print_exc()
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise Refused({"reason": "class-not-found"})
        raise Refused(_loading_failed(str(error), error))
    except Exception as error:
        traceback.print_exc()
        raise Refused(_loading_failed(str(error), error))
    job_class = getattr(module, class_name, None)
    if job_class is None:
        raise Refused({"reason": "class-not-found"})
    if not all(callable(getattr(job_class, name, None)) for name in ("validate", "run_job")):
        raise Refused({"reason": "wrong-type"})
    try:
        return job_class()
    except Exception as error:
        traceback.print_exc()
        raise Refused(_loading_failed(str(error), error))


def _validate(job, session, config):
    """Runtime is None in validate (job-api.md 12.3)."""
    data = job.validate(session, None, config)
    if isinstance(data, list) and data and isinstance(data[0], ValidationProblem):
        message = str(data)[:_MESSAGE_CHARACTERS_MAX]
        error = {"message": message, "errorClass": "java.lang.Throwable", "stack": ""}
        raise Refused({"reason": "validation-failed", "error": error})
    return data


def _tree_of_file(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    value = json.loads(text) if text.strip() else {}
    return ConfigTree(value if isinstance(value, dict) else {})


def _loading_failed(message, error=None):
    if error is not None:
        return {"reason": "loading-failed", "error": _error_of(error)}
    fields = {"message": message, "errorClass": "doyen.LoadingFailed", "stack": ""}
    return {"reason": "loading-failed", "error": fields}


def _error_of(error):
    kind = type(error)
    plain = kind.__module__ in ("builtins", "__main__", __name__)
    text = str(error) or kind.__name__
    stack = "".join(traceback.format_exception(kind, error, error.__traceback__))
    return {
        "message": text[:_MESSAGE_CHARACTERS_MAX],
        "errorClass": kind.__name__ if plain else "%s.%s" % (kind.__module__, kind.__name__),
        "stack": stack[-_STACK_CHARACTERS_MAX:],
    }


def _keep(result, task):
    text = json.dumps(Mapping(task["result_bytes_max"]).of(result), allow_nan=False)
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > task["result_bytes_max"]:
        raise ResultRefused(_too_large(task["result_bytes_max"]))
    descriptor = os.open(task["result"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _too_large(bytes_max):
    return (
        "the result has more than %d bytes: write large results to storage and return their place"
        % (bytes_max,)
    )


class Mapping(object):
    """What a job returned as JSON (rest-api.md 9.1, job-api.md 12.4)."""

    def __init__(self, bytes_max):
        self._left = bytes_max
        self._bytes_max = bytes_max

    def of(self, value, depth=0):
        if depth > _DEPTH_MAX:
            raise ResultRefused(
                "the result is nested more than %d levels, or contains itself" % (_DEPTH_MAX,)
            )
        # Every value takes two bytes at least: an endless generator ends here.
        self._spend(2)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self._spend(len(value))
            return str(value)
        if isinstance(value, int):
            return int(value) if abs(value) <= _INTEGER_MAX else str(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, (bytes, bytearray)):
            return [str(byte - 256 if byte > 127 else byte) for byte in self._each(value)]
        if isinstance(value, (set, frozenset)):
            return self._text(_set_text(value))
        if isinstance(value, dict):
            return {self._key(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(item, depth + 1) for item in value]
        if _is_scalar(value):
            return self.of(value.item(), depth + 1)
        if _is_iterable(value):
            return [self.of(item, depth + 1) for item in value]
        return self._text(str(value))

    def _each(self, data):
        self._spend(4 * len(data))
        return data

    def _key(self, key):
        return self._text(key if isinstance(key, str) else str(key))

    def _text(self, text):
        self._spend(len(text))
        return text

    def _spend(self, count):
        self._left -= count
        if self._left < 0:
            raise ResultRefused(_too_large(self._bytes_max))


def _is_scalar(value):
    """A number of NumPy."""
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def _is_iterable(value):
    """As py4j's list converter sees it; data frames and Java objects are not lists."""
    foreign = type(value).__module__.split(".")[0] in ("py4j", "pyspark", "pandas")
    return hasattr(value, "__iter__") and not foreign


def _set_text(value):
    """A set has no order, so its text has one."""
    return "[%s]" % ", ".join(sorted(str(item) for item in value))


if __name__ == "__main__":
    code = 0
    try:
        main()
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # At once: neither threads of the job nor Spark's exit hooks may hold or stop anything.
        os._exit(code)
