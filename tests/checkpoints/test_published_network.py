"""The networks of the published model against plain functions, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import torch.nn.functional as F  # noqa: N812
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from cloome_sk import CloomeEmbedder
from cloome_sk.checkpoints import read_checkpoint
from cloome_sk.networks import MLP, ResNet

ORDER = ("Mito", "ER", "RNA", "AGP", "DNA")
MEAN = torch.tensor([47.1314, 40.8138, 53.7692, 46.2656, 28.7243])
SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
]


# ------------------------------------------------- the model once more, from its description alone


def norm(w, name, values):
    return F.batch_norm(
        values,
        w[f"{name}.running_mean"],
        w[f"{name}.running_var"],
        w[f"{name}.weight"],
        w[f"{name}.bias"],
    )


def bottleneck(w, name, values, stride):
    out = F.relu(norm(w, f"{name}.bn1", F.conv2d(values, w[f"{name}.conv1.weight"])))
    out = F.relu(norm(w, f"{name}.bn2", F.conv2d(out, w[f"{name}.conv2.weight"], padding=1)))
    if stride > 1:
        out = F.avg_pool2d(out, stride)
    out = norm(w, f"{name}.bn3", F.conv2d(out, w[f"{name}.conv3.weight"]))
    if f"{name}.downsample.0.weight" in w:
        if stride > 1:
            values = F.avg_pool2d(values, stride)
        values = F.conv2d(values, w[f"{name}.downsample.0.weight"])
        values = norm(w, f"{name}.downsample.1", values)
    return F.relu(out + values)


def image_layers(w, images):
    """What each stage of the image encoder makes of normalised images."""
    values = F.conv2d(images, w["visual.conv1.weight"], stride=2, padding=3)
    values = F.max_pool2d(F.relu(norm(w, "visual.bn1", values)), 3, stride=2, padding=1)
    layers = {"maxpool": values}
    for stage, n_blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(n_blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            values = bottleneck(w, f"visual.layer{stage}.{block}", values, stride)
            layers[f"layer{stage}.{block}"] = values
    values = F.avg_pool2d(values, 7, stride=1).flatten(2).mean(2)
    layers["fc"] = F.linear(values, w["visual.fc.weight"], w["visual.fc.bias"])
    return layers


def molecule_layers(w, bits):
    """What each layer of the molecule encoder makes of fingerprints."""
    values, layers = bits, []
    for layer in range(4):
        name = f"transformer.layers.{layer}"
        values = F.linear(values, w[f"{name}.0.weight"], w[f"{name}.0.bias"])
        values = F.relu(norm(w, f"{name}.1", values))
        layers.append(values)
    name = "transformer.layers.4.0"
    return [*layers, F.linear(values, w[f"{name}.weight"], w[f"{name}.bias"])]


def eight_bits(channel):
    """As in the authors' inference class: the brightest 0.01 % are white."""
    n_white = round(channel.size * 0.0001)
    threshold = sorted(channel.ravel().tolist())[-n_white:][0]
    return np.floor(np.minimum(channel.astype(float) * 255 / threshold, 255))


def prepared(channels):
    pixels = np.stack([eight_bits(channel) for channel in channels])
    top, left = (pixels.shape[1] - 520) // 2, (pixels.shape[2] - 696) // 2
    crop = torch.tensor(pixels[:, top : top + 520, left : left + 696], dtype=torch.float32)
    return ((crop - MEAN[:, None, None]) / MEAN[:, None, None])[None]


def fingerprint(smiles):
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=3, fpSize=1024, includeChirality=True
    )
    bits = np.zeros(1024, dtype=np.float32)
    DataStructs.ConvertToNumpyArray(generator.GetFingerprint(Chem.MolFromSmiles(smiles)), bits)
    return torch.from_numpy(bits)


def assert_close(ours, reference):
    scale = reference.abs().max()
    assert scale > 1e-3  # a layer of zeros would compare well with anything
    torch.testing.assert_close(ours, reference, rtol=1e-5, atol=float(1e-5 * scale))


# ------------------------------------------------------------------------------------------ tests


@pytest.mark.parametrize("size", [(224, 224), (256, 320)])
def test_the_image_network_layer_by_layer(published_state, published_file, size):
    network = ResNet(5, 512, depth=50, pooling="legacy").eval()
    weights = read_checkpoint(published_file).phenotype
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    ours = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: ours.__setitem__(name, out))
    images = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        network(images)
        reference = image_layers(published_state, images)
    assert len(reference) == 1 + 16 + 1
    for name, values in reference.items():
        assert_close(ours[name], values)


def test_the_molecule_network_layer_by_layer(published_state, published_file):
    network = MLP(1024, 512, (1024,) * 4).eval()
    weights = read_checkpoint(published_file).molecule
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    ours = []
    for module in network.modules():
        if isinstance(module, (torch.nn.ReLU, torch.nn.Linear)):
            module.register_forward_hook(lambda _, __, out: ours.append(out.clone()))
    bits = torch.stack([fingerprint(smiles) for smiles in SMILES])
    with torch.inference_mode():
        network(bits)
        reference = molecule_layers(published_state, bits)
    ours = [*ours[1:-1:2], ours[-1]]  # after each ReLU, and the last layer
    assert len(ours) == len(reference) == 5
    for own, values in zip(ours, reference, strict=True):
        assert_close(own, values)


def test_smiles_to_embeddings(published_state, published_file):
    embedded = CloomeEmbedder.from_checkpoint(published_file).embed_molecules(SMILES)
    bits = torch.stack([fingerprint(smiles) for smiles in SMILES])
    reference = F.normalize(molecule_layers(published_state, bits)[-1], dim=1)
    np.testing.assert_allclose(embedded, reference, atol=1e-5)
    assert abs(embedded[1] - embedded[2]).max() > 1e-3  # the two alanines


def test_images_of_the_size_of_the_screen(published_state, published_file, tmp_path):
    rng = np.random.default_rng(0)
    channels = rng.gamma(2.0, 400.0, (5, 526, 700)).astype(np.uint16)
    for name, channel in zip(ORDER, channels, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", channel)
    X = pd.DataFrame({f"Image_{name}": [tmp_path / f"{name}.tif"] for name in sorted(ORDER)})
    embedded = CloomeEmbedder.from_checkpoint(published_file).transform(X)
    with torch.inference_mode():
        reference = F.normalize(image_layers(published_state, prepared(channels))["fc"], dim=1)
    np.testing.assert_allclose(embedded, reference, atol=1e-5)


def test_the_field_that_comes_with_the_original(published_state, published_file, data_home):
    files = sorted((data_home / "images" / "cloome_example").glob("*.tif"))
    stems = ("Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst")
    paths = [next(file for file in files if file.stem.endswith(stem)) for stem in stems]
    assert len(set(paths)) == 5
    X = pd.DataFrame({f"Image_{stem}": [path] for stem, path in zip(stems, paths, strict=True)})
    embedder = CloomeEmbedder.from_checkpoint(published_file)
    embedded = embedder.transform(X)
    with torch.inference_mode():
        images = prepared([tifffile.imread(path) for path in paths])
        reference = F.normalize(image_layers(published_state, images)["fc"], dim=1)
    np.testing.assert_allclose(embedded, reference, atol=1e-5)

    np.testing.assert_array_equal(embedder.transform(X[X.columns[::-1]]), embedded)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        stack = np.stack([tifffile.imread(paths[place]) for place in order])
        named = "|".join(stems[place] for place in order)
        table = pd.DataFrame({"Image": [stack], "Metadata_Channels": [named]})
        np.testing.assert_allclose(embedder.transform(table), embedded, atol=1e-6)
