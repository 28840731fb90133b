"""What Python jobs of Doyen are written against, and the programs that run them.

Job authors use ``sparkjobserver.api``. ``sparkjobserver.context`` holds the Spark context of one
driver, ``sparkjobserver.job`` runs one job; both are started by the driver, not by hand.
"""
