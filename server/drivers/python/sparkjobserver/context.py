"""Holds the Spark context of one driver: starts the JVM, cancels job groups, stops.

Started by the driver's keeper as ``python -m sparkjobserver.context``. One JSON line on standard
input tells what to start; later lines are commands. Answers are JSON lines on descriptor 3.
When standard input ends, the driver is gone: the JVM is ended and this process too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

# As Spark's own spark.redaction.regex: what looks like a secret is not put on a command line.
_SECRET = re.compile(r"(?i)secret|password|token|access[.]?key")
_ANSWER_FD = 3


class _Failure(Exception):
    """Said to people as it is."""


class Answers(object):
    """Descriptor 3, out of reach of what this process starts."""

    def __init__(self):
        # A duplicate is not inherited.
        self._file = os.fdopen(os.dup(_ANSWER_FD), "w", encoding="utf-8")
        os.close(_ANSWER_FD)
        self._lock = threading.Lock()

    def say(self, event, **fields):
        fields["event"] = event
        with self._lock:
            self._file.write(json.dumps(fields) + "\n")
            self._file.flush()


def main():
    task = json.loads(sys.stdin.readline())
    answers = Answers()
    os.set_inheritable(task["lock_fd"], False)
    try:
        engine = Engine(task, answers)
    except _Failure as failure:
        answers.say("failed", message=str(failure))
        return 1
    except BaseException as error:
        message = "Spark did not start: %s" % (_short(error),)
        answers.say("failed", message=message, stack=traceback.format_exc()[-16384:])
        return 1
    engine.say_ready()
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "cancel":
            engine.cancel(command["job"])
        elif command["command"] == "stop":
            break
    engine.stop()
    return 0


def _short(error):
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:1024]


class Engine(object):
    """The JVM and its Spark context."""

    def __init__(self, task, answers):
        self._answers = answers
        self._stopping = False
        home = _spark_home()
        _check_java()
        self._jvm, self._port, self._secret = _launch(home, task)
        threading.Thread(target=self._watch_jvm, daemon=True).start()
        os.environ["PYSPARK_GATEWAY_PORT"] = str(self._port)
        os.environ["PYSPARK_GATEWAY_SECRET"] = self._secret
        try:
            self._session = _session(task)
        except BaseException:
            self._stopping = True
            raise
        self._context = self._session.sparkContext

    def say_ready(self):
        self._answers.say(
            "ready",
            port=self._port,
            secret=self._secret,
            application_id=self._context.applicationId,
            url=self._context.uiWebUrl,
        )

    def cancel(self, job):
        """Cancels a job's group; says how many Spark jobs of it were running."""
        active = 0
        try:
            tracker = self._context.statusTracker()
            infos = [tracker.getJobInfo(one) for one in tracker.getJobIdsForGroup(job)]
            active = sum(1 for info in infos if info is not None and info.status == "RUNNING")
            self._context.cancelJobGroup(job)
        except Exception as error:
            print("job group %s cannot be cancelled: %s" % (job, error), file=sys.stderr)
        self._answers.say("cancelled", job=job, active=active)

    def stop(self):
        self._stopping = True
        try:
            self._session.stop()
        except Exception as error:
            print("Spark did not stop in order: %s" % (error,), file=sys.stderr)
        # The JVM exits when its standard input ends.
        self._jvm.stdin.close()
        try:
            self._jvm.wait(5)
        except subprocess.TimeoutExpired:
            self._jvm.kill()

    def _watch_jvm(self):
        code = self._jvm.wait()
        if not self._stopping:
            how = "was ended by signal %d" % -code if code < 0 else "ended with code %d" % code
            self._answers.say("failed", message="Spark's JVM %s" % (how,))
            sys.stderr.flush()
            os._exit(3)


def _spark_home():
    try:
        import pyspark
    except ImportError as error:
        raise _Failure(
            "PySpark is not there for %s (%s). Install it with `%s -m pip install "
            "pyspark==3.5.6`, or name another Python by the setting python.executable."
            % (sys.executable, error, sys.executable)
        )
    home = os.environ.get("SPARK_HOME") or os.path.dirname(pyspark.__file__)
    if not os.path.exists(os.path.join(home, "bin", "spark-submit")):
        raise _Failure("SPARK_HOME is %s, but there is no bin/spark-submit in it." % (home,))
    os.environ["SPARK_HOME"] = home
    return home


def _check_java():
    java_home = os.environ.get("JAVA_HOME")
    java = os.path.join(java_home, "bin", "java") if java_home else shutil.which("java")
    if not java or not os.path.exists(java):
        where = "JAVA_HOME is %s" % (java_home,) if java_home else "no `java` is in PATH"
        raise _Failure(
            "Java is not there (%s). Install Java 11 or 17, e.g. `apt-get install "
            "openjdk-17-jre-headless`, or set JAVA_HOME." % (where,)
        )


def _launch(home, task):
    """Starts Spark's own PythonGatewayServer, as ``pyspark.java_gateway`` does; the JVM inherits
    the driver's lock."""
    command = [os.path.join(home, "bin", "spark-submit")]
    for key, value in sorted(task["conf"].items()):
        if not _SECRET.search(key):
            command += ["--conf", "%s=%s" % (key, value)]
    options = "-Djava.io.tmpdir=%s -XX:-UsePerfData" % (task["temporary"],)
    if "spark.driver.defaultJavaOptions" not in task["conf"]:
        command += ["--conf", "spark.driver.defaultJavaOptions=%s" % (options,)]
    command.append("pyspark-shell")
    folder = tempfile.mkdtemp(dir=task["temporary"])
    path = os.path.join(folder, "gateway")
    environment = dict(os.environ, _PYSPARK_DRIVER_CONN_INFO_PATH=path)
    jvm = subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment, pass_fds=(task["lock_fd"],)
    )
    try:
        while jvm.poll() is None and not os.path.isfile(path):
            time.sleep(0.02)
        if not os.path.isfile(path):
            raise _Failure(
                "Spark's JVM ended with code %s before its gateway was there; see its output."
                % (jvm.returncode,)
            )
        from pyspark.serializers import UTF8Deserializer, read_int

        with open(path, "rb") as info:
            return jvm, read_int(info), UTF8Deserializer().loads(info)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _session(task):
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    conf = SparkConf()
    for key, value in task["conf"].items():
        conf.set(key, value)
    builder = SparkSession.builder.config(conf=conf)
    if task["hive"]:
        builder = builder.enableHiveSupport()
    return builder.getOrCreate()


if __name__ == "__main__":
    sys.exit(main())
