"""The numbers that papers published, once, with their source; figures draw them as hollow marks."""

from __future__ import annotations

#: Comparison of normalization methods on spine CT, batch size 1, 30 epochs. Table 2: norm -> Dice.
SPINE_DICE: dict[str, float] = {
    "none": 0.598, "BN": 0.888, "GN-2": 0.941, "GN-4": 0.926, "GN-8": 0.918, "GN-16": 0.920,
    "GN-32": 0.916, "IN": 0.960,
}  # fmt: skip

#: Table 1 of the same: norm -> seconds an epoch. Its labels are lost in the text that we have; the
#: order is that of Table 2.
SPINE_EPOCH_SECONDS: dict[str, float] = {
    "none": 131, "BN": 152, "GN-2": 228, "GN-4": 223, "GN-8": 222, "GN-16": 222, "GN-32": 202,
    "IN": 163,
}  # fmt: skip

#: Table 1 of the same: norm -> seconds of a prediction.
SPINE_PREDICTION_SECONDS: dict[str, float] = {
    "none": 8, "BN": 11, "GN-2": 12, "GN-4": 11, "GN-8": 11, "GN-16": 11, "GN-32": 11, "IN": 8,
}  # fmt: skip

#: Zhou et al. 2019, Instance-Layer Normalization, Tables 1 to 3: table -> norm spec -> the mean
#: Dice on LV-1, LV-2, LV-3 (Sunnybrook, folds of 15 subjects), and its SD over images.
ILN_DICE: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "Table 1: gate": {
        "ILN(gate=clip,regroup=none)": ((0.900, 0.099), (0.864, 0.184), (0.804, 0.246)),
        "ILN(regroup=none)": ((0.903, 0.118), (0.888, 0.135), (0.828, 0.189)),
        "ILN(gate=softmax,regroup=none)": ((0.895, 0.151), (0.866, 0.153), (0.827, 0.228)),
    },
    "Table 2: GN16 after": {
        "ILN(regroup=none)": ((0.903, 0.118), (0.888, 0.135), (0.828, 0.189)),
        "ILN": ((0.919, 0.098), (0.893, 0.127), (0.827, 0.211)),
    },
    "Table 3: other norms": {
        "none": ((0.899, 0.134), (0.872, 0.167), (0.784, 0.280)),
        "IN": ((0.905, 0.114), (0.876, 0.131), (0.836, 0.207)),
        "LN": ((0.898, 0.120), (0.858, 0.187), (0.793, 0.262)),
        "GN-4": ((0.908, 0.113), (0.841, 0.196), (0.800, 0.255)),
        "ILN": ((0.919, 0.098), (0.893, 0.127), (0.827, 0.211)),
    },
}

#: The same on RV-1, RV-2, RV-3 (6082 right-ventricle images of 37 subjects, not published).
ILN_RV_DICE: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "Table 1: gate": {
        "ILN(gate=clip,regroup=none)": ((0.702, 0.295), (0.707, 0.299), (0.666, 0.319)),
        "ILN(regroup=none)": ((0.692, 0.304), (0.724, 0.284), (0.675, 0.301)),
        "ILN(gate=softmax,regroup=none)": ((0.688, 0.290), (0.720, 0.279), (0.664, 0.323)),
    },
    "Table 2: GN16 after": {
        "ILN(regroup=none)": ((0.692, 0.304), (0.724, 0.284), (0.675, 0.301)),
        "ILN": ((0.714, 0.290), (0.737, 0.267), (0.680, 0.305)),
    },
    "Table 3: other norms": {
        "none": ((0.688, 0.296), (0.678, 0.318), (0.661, 0.323)),
        "IN": ((0.709, 0.266), (0.715, 0.278), (0.655, 0.327)),
        "LN": ((0.702, 0.287), (0.718, 0.270), (0.662, 0.309)),
        "GN-4": ((0.679, 0.303), (0.701, 0.291), (0.671, 0.309)),
        "ILN": ((0.714, 0.290), (0.737, 0.267), (0.680, 0.305)),
    },
}

#: Luo et al. 2018 (arXiv 1806.10779): images a GPU -> branch -> mean share over the layers of a
#: ResNet-50 on ImageNet, 8 GPUs; read off a figure, ±0.02.
SN_SHARES: dict[int, dict[str, float]] = {
    32: {"BN": 0.59, "IN": 0.16, "LN": 0.25},
    16: {"BN": 0.53, "IN": 0.19, "LN": 0.29},
    8: {"BN": 0.40, "IN": 0.21, "LN": 0.40},
    4: {"BN": 0.27, "IN": 0.25, "LN": 0.48},
    2: {"BN": 0.15, "IN": 0.31, "LN": 0.55},
    1: {"IN": 0.52, "LN": 0.48},
}

#: The same at (8 GPUs, 32 images): block of the ResNet-50 -> branch -> weight of the mean; read off
#: figures, ±0.02.
SN_BLOCKS: dict[int, dict[str, float]] = {
    1: {"BN": 0.18, "IN": 0.17, "LN": 0.65},
    2: {"BN": 0.56, "IN": 0.15, "LN": 0.29},
    3: {"BN": 0.51, "IN": 0.22, "LN": 0.27},
    4: {"BN": 0.60, "IN": 0.17, "LN": 0.24},
    5: {"BN": 0.42, "IN": 0.09, "LN": 0.49},
}
