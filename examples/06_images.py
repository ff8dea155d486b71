"""Images as the phenotype.

A screen is drawn into a temporary folder, as 16-bit TIFFs, one file a channel, and a table that
lists them. A small convolutional network learns from some plates; the others ask. Their molecules
are known, their wells and their batch are new. A picture shows what was found, in pixels.

The screen is simulated, so the figures show how it works, not how well.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from cloome_sk import CloomeEmbedder, CrossModalRetriever
from cloome_sk.datasets import make_screen
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.metrics import retrieval_metrics
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import find_controls
from cloome_sk.report import plot_hits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--picture", type=Path, default=Path("demo_output/06_images.png"))
picture = parser.parse_args().picture

with TemporaryDirectory() as folder:
    X = make_screen(folder, n_compounds=16, n_plates=8, n_controls=8, random_state=0)
    controls = find_controls(X)
    print(f"A SIMULATED screen: {len(X)} sites on 8 plates. {controls}")
    print("One row is one site; its first image is", Path(X["Image_DNA"][0]).relative_to(folder))

    # %%
    # Two plates make a batch; the last batch is kept apart. What is learned of a plate, limits of
    # brightness and statistics of its channels, is learned from its DMSO wells.
    unseen = X["Metadata_batch"] == X["Metadata_batch"].iloc[-1]
    embedder = CloomeEmbedder(
        phenotype=ImageEncoder(size=80, scaling="plate", normalization="plate"),
        molecule=MoleculeEncoder(hidden_sizes=(128,)),
        n_components=64,
        batch_size=32,
        max_epochs=20,
        random_state=0,
    ).fit(X[~unseen])
    print("The network takes, in this order:", ", ".join(embedder.phenotype_.channels_))

    # %%
    # New plates bring their own DMSO wells. No treated well is looked at here.
    embedder.phenotype_.fit_plates(X[unseen])
    wells = X[unseen & ~controls.mask].reset_index(drop=True)

    # %%
    # Molecule -> sites, and site -> molecules.
    columns = ["pert_iname", "moa", "plate", "well"]
    library = wells.drop_duplicates("Metadata_smiles").reset_index(drop=True)
    asked = library.iloc[:3]
    structures = asked["Metadata_smiles"].tolist()
    to_sites = CrossModalRetriever(embedder, query="molecule", database="phenotype").fit(wells)
    hits = to_sites.search(structures, n_neighbors=4, columns=columns)
    name = asked["Metadata_pert_iname"].iloc[0]
    print(f"\nSites for the structure of {name}, of {len(wells)} on plates not trained on:")
    print(hits[hits["query"] == 0].drop(columns=["query", "index"]).round(3).to_string(index=False))

    to_molecules = CrossModalRetriever(embedder, query="phenotype", database="molecule")
    found = to_molecules.fit(library).search(wells.iloc[:1], n_neighbors=4, columns=columns[:2])
    print(f"\nMolecules for a site of {wells['Metadata_pert_iname'].iloc[0]}, of {len(library)}:")
    print(found.drop(columns=["query", "index"]).round(3).to_string(index=False))

    # %%
    # One search proves nothing. Over all sites of the unseen plates, both ways, beside chance;
    # intervals resample molecules, because the sites of a molecule are not independent.
    sites, molecules = embedder.embed_phenotypes(wells), embedder.embed_molecules(library)
    of_site, of_molecule = (molecule_key(table["Metadata_smiles"]) for table in (wells, library))
    print("\nThe right one among the first k, both ways:")
    for way, query, query_ids, database, database_ids in [
        ("site -> molecules", sites, of_site, molecules, of_molecule),
        ("molecule -> sites", molecules, of_molecule, sites, of_site),
    ]:
        metrics = retrieval_metrics(
            query,
            database,
            query_ids=query_ids,
            database_ids=database_ids,
            interval="bootstrap",
            groups=query_ids,
            random_state=0,
        )
        for k in (1, 5):
            names = [f"R@{k}", f"R@{k}_low", f"R@{k}_high", f"chance@{k}"]
            recall, low, high, chance = metrics[names]
            print(f"  {way}   k = {k}   {recall:.3f} [{low:.3f}, {high:.3f}]   chance {chance:.3f}")

    # %%
    # The picture reads the pixels again, so it is drawn while the files are there.
    figure = plot_hits(
        hits,
        structures,
        wells,
        names=asked["Metadata_pert_iname"].tolist(),
        title="SIMULATED sites for three structures, on plates not trained on",
        label="pert_iname",
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)
print(f"\nThe picture of hits is in {picture}.")
