"""Models of the YAML files: study, task, network, training, space, search; and reading them."""

from normsearch.config.arms import Arm, ArmsConfig, Origin
from normsearch.config.augmentation import AugmentationConfig, TransformConfig
from normsearch.config.base import (
    ImportPath,
    ItemError,
    Model,
)
from normsearch.config.case_facts import ForegroundIntensities, GeometryConfig
from normsearch.config.hyperparameters import (
    BatchSizeSpace,
    Hyperparameters,
    LearningRateSpace,
    NumberSpace,
)
from normsearch.config.resources import Resources
from normsearch.config.search import Point, PrunerConfig, SearchConfig, SupernetConfig
from normsearch.config.space import (
    AnySpaceConfig,
    NormSpace,
    PythonSpaceConfig,
    SpaceConfig,
)
from normsearch.config.study import (
    Mixture,
    NetworkConfig,
    NetworkDigest,
    StudyConfig,
    TrialConfig,
    plain,
)
from normsearch.config.task import (
    PhantomConfig,
    TaskConfig,
)
from normsearch.config.training import TrainingConfig

__all__ = [
    "AnySpaceConfig",
    "Arm",
    "ArmsConfig",
    "AugmentationConfig",
    "BatchSizeSpace",
    "ForegroundIntensities",
    "GeometryConfig",
    "Hyperparameters",
    "ImportPath",
    "ItemError",
    "LearningRateSpace",
    "Mixture",
    "Model",
    "NetworkConfig",
    "NetworkDigest",
    "NormSpace",
    "NumberSpace",
    "Origin",
    "PhantomConfig",
    "Point",
    "PrunerConfig",
    "PythonSpaceConfig",
    "Resources",
    "SearchConfig",
    "SpaceConfig",
    "StudyConfig",
    "SupernetConfig",
    "TaskConfig",
    "TrainingConfig",
    "TransformConfig",
    "TrialConfig",
    "plain",
]
