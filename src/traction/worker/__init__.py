"""Poll for tasks, run them, and send their results."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.worker.activity_worker import ActivityWorker
    from traction.worker.loop import run_worker
    from traction.worker.workflow_worker import StuckDecisionError, WorkflowWorker

__all__ = ["ActivityWorker", "StuckDecisionError", "WorkflowWorker", "run_worker"]

__getattr__ = import_lazily(
    __name__,
    {
        "ActivityWorker": "traction.worker.activity_worker",
        "StuckDecisionError": "traction.worker.workflow_worker",
        "WorkflowWorker": "traction.worker.workflow_worker",
        "run_worker": "traction.worker.loop",
    },
)
