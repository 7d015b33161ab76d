"""Groups compared by a linear mixed model: every measurement counts, and what a person's measurements share is random.

y = β₀ + β of the group + u of the person + ε with u ~ N(0, τ²) and ε ~ N(0, σ²), fitted by restricted maximum
likelihood with statsmodels (Laird and Ware, Biometrics 1982, https://doi.org/10.2307/2529876). The Wald statistic is
referred to an F distribution whose degrees of freedom are those between people, or within people where a person is in
several groups (Schluchter and Elashoff, Journal of Statistical Computation and Simulation 37, 1990).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, MotetWarning

Float = npt.NDArray[np.float64]
_LEAST = 1e-12  # of all variance: measurements of one person that differ by less do not vary


def checked(rows: pl.DataFrame, by: str, person: str) -> None:
    """Raise ConfigError unless statsmodels is here and people were measured several times."""
    try:
        import statsmodels  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "mixed models need statsmodels: pip install 'motet[stats]', or leave out --model mixed"
        ) from error
    if not rows.select(by, person).is_duplicated().any():
        raise ConfigError(
            f"column {person!r} names nobody twice in a group, so there is nothing within people for a mixed model to "
            "see: name the people with --people, or leave out --model mixed"
        )


def mixed_test(rows: pl.DataFrame, measure: str, by: str, person: str, groups: list[str]) -> dict[str, Any] | None:
    """One measure, from one row a measurement without missing values.

    Returns:
        None, and a warning, where measurements vary so little within the groups that no model can be fitted. Else
        ``p``; ``effect``, the difference in standard deviations of a measurement, or the share of the variance that
        more than two groups explain (Nakagawa and Schielzeth 2013); ``between_people``, the share of the other
        variance that lies between people; of two groups ``difference`` and ``interval_95``.
    """
    from scipy.stats import f
    from scipy.stats import t as student

    y = rows[measure].to_numpy().astype(np.float64)
    number = rows[by].replace_strict({g: i for i, g in enumerate(groups)}, return_dtype=pl.Int64).to_numpy()
    who = np.unique(rows[person].to_numpy(), return_inverse=True)[1]
    design = np.column_stack([np.ones(len(y)), *(number == k for k in range(1, len(groups)))]).astype(np.float64)
    scale, wide = y.std(), len(groups) - 1
    try:
        beta, covariance, between, within = _fitted((y - y.mean()) / scale, design, who, measure)
        wald = float(beta[1:] @ np.linalg.solve(covariance[1:, 1:], beta[1:])) / wide
    except np.linalg.LinAlgError:
        within = wald = 0.0
    if not within > _LEAST or not np.isfinite(wald):
        warnings.warn(
            f"{measure} hardly varies within the groups, so no mixed model of it can be fitted and it is left out; "
            "compare without --model mixed to see it",
            MotetWarning,
            stacklevel=4,
        )
        return None
    crossed = len(rows.select(by, person).unique()) > len(np.unique(who))
    freedom = len(y) - len(np.unique(who)) - wide if crossed else len(np.unique(who)) - len(groups)
    total = between + within
    explained = float((design @ beta).var())
    found: dict[str, Any] = {
        "effect": float(beta[1] / np.sqrt(total)) if wide == 1 else explained / (explained + total),
        "effect_is": "d of the mixed model" if wide == 1 else "marginal R squared",
        "p": float(f.sf(wald, wide, freedom)),
        "between_people": float(between / total),
        "measurements": len(y),
    }
    if wide == 1:
        reach = float(student.ppf(0.975, freedom) * np.sqrt(covariance[1, 1]) * scale)
        difference = float(beta[1] * scale)
        found |= {"difference": difference, "interval_95": [difference - reach, difference + reach]}
    return found


def _fitted(y: Float, design: Float, who: npt.NDArray[np.int64], measure: str) -> tuple[Float, Float, float, float]:
    """β, its covariance, τ² and σ²."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the boundary τ² = 0 it is ordinary least squares, which is right
        model = MixedLM(y, design, who)
        fitted = model.fit(reml=True)
        if not fitted.converged:
            fitted = model.fit(reml=True, method="powell")
    if not fitted.converged:
        warnings.warn(
            f"{measure}: the mixed model did not converge, so trust its p-value less", MotetWarning, stacklevel=5
        )
    count = design.shape[1]
    covariance = np.asarray(fitted.cov_params(), dtype=np.float64)[:count, :count]
    return np.asarray(fitted.fe_params), covariance, float(np.asarray(fitted.cov_re)[0, 0]), float(fitted.scale)
