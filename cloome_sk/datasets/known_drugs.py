"""The drugs that the simulated screen is made of."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


def load_known_drugs() -> pd.DataFrame:
    """Load 120 well-known drugs with their structures and mechanisms of action.

    A small table that ships with the package: 18 mechanisms with 4 to 8 drugs each, close analogues
    among them (statins, beta blockers, benzodiazepines, taxanes, ...). Names, structures and
    mechanisms are common knowledge; every structure was compared with the InChIKey of the drug of
    that name.

    Returns
    -------
    DataFrame of shape (120, 4)
        ``name`` (international nonproprietary name where there is one), ``smiles``, ``moa`` and
        ``target`` (gene symbol of the best-known target). Racemic drugs are drawn without
        stereochemistry.

    Examples
    --------
    >>> from cloome_sk.datasets import load_known_drugs
    >>> drugs = load_known_drugs()
    >>> drugs.shape, drugs["moa"].nunique()
    ((120, 4), 18)
    >>> drugs.loc[drugs["name"] == "celecoxib", ["moa", "target"]].to_numpy().tolist()
    [['cyclooxygenase inhibitor', 'PTGS2']]
    """
    with files("cloome_sk.datasets").joinpath("data/known_drugs.csv").open("rb") as file:
        return pd.read_csv(file)
