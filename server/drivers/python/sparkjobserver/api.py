"""The job author's interface (job-api.md 11.1)."""


class SparkJob(object):
    """A job. Subclassing is optional: a class with these methods will do."""

    def validate(self, context, runtime, config):
        """Checks the configuration before the job counts as started.

        Returns a non-empty list of ``ValidationProblem`` to refuse it; anything else is handed to
        ``run_job`` as ``data``. ``runtime`` is None here.
        """
        raise NotImplementedError("Concrete implementations should override validate")

    def run_job(self, context, runtime, data):
        """Does the work. ``context`` is a ``pyspark.sql.SparkSession``, ``runtime`` a
        ``JobEnvironment``. What is returned is mapped to JSON."""
        raise NotImplementedError("Concrete implementations should override run_job")

    def build_context(self, gateway, jvmContext, sparkConf):
        """For contexts of other kinds; not called for contexts with a Spark session."""
        return None


class ValidationProblem(object):
    """Why a configuration is refused."""

    def __init__(self, problem):
        self.problem = problem

    def __repr__(self):
        return "ValidationProblem(%s)" % (self.problem,)


def build_problems(problems):
    """A list of texts as a list of ``ValidationProblem``."""
    return [ValidationProblem(problem) for problem in problems]


class JobEnvironment(object):
    """What a job knows of its place."""

    def __init__(self, job_id, named_objects, context_config):
        self.jobId = job_id
        self.namedObjects = named_objects
        self.contextConfig = context_config


class NamedObject(object):
    """Kept for source compatibility: named objects are not there for Python jobs."""

    def __init__(self, obj, forceComputation, storage_level):
        self.obj = obj
        self.forceComputation = forceComputation
        self.storage_level = storage_level


class NamedObjects(object):
    """Kept for source compatibility: every method raises NotImplementedError."""

    def _refuse(self):
        raise NotImplementedError("named objects are not supported from Python")

    def get(self, name):
        self._refuse()

    def get_or_else_create(self, name, obj_gen):
        self._refuse()

    def update(self, name, obj_gen):
        self._refuse()

    def forget(self, name):
        self._refuse()

    def destroy(self, name):
        self._refuse()

    def get_names(self):
        self._refuse()
