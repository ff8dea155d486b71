"""The effects of known mechanisms of action on the traits of a cell, each with its reason.

The numbers are a draughtsman's, chosen so that the pictures show what the sources describe; they
are no measurements. They add to the logarithm of a trait, or to the log odds of a fraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mechanism:
    """What a mechanism does to the traits of `Look`, and where that is described."""

    shift: Mapping[str, float]
    fact: str


_NOTHING = "Its target is not expressed, or not active, in this cell line: next to no effect."

MECHANISMS: dict[str, Mechanism] = {
    "tubulin polymerization inhibitor": Mechanism(
        {"density": -0.55, "mitotic": 2.6, "arrested": 3.5, "multinucleate": 2.9,
         "micronuclei": 2.2, "dead": 1.0, "cell_area": -0.25, "elongation": -1.1, "tips": -0.9,
         "nucleus_lobes": 1.1, "er_reach": -0.5, "mito_reach": -0.55, "golgi": -0.2,
         "golgi_spread": 1.1, "fibres": 0.45},
        "Arrest in prometaphase, then slippage into cells of several nuclei (Jordan et al., J Cell "
        "Sci 1992); ER and mitochondria retract to the cell centre (Terasaki et al., J Cell Biol "
        "1986); Golgi scatters (Cole et al., Mol Biol Cell 1996); more stress fibres (Danowski, "
        "J Cell Sci 1989).",
    ),
    "microtubule stabilizing agent": Mechanism(
        {"density": -0.5, "mitotic": 1.3, "arrested": 2.0, "multinucleate": 2.6,
         "micronuclei": 3.9, "dead": 0.8, "cell_area": 0.35, "elongation": -0.5, "tips": -0.3,
         "nucleus_area": 0.1, "nucleus_lobes": 1.2, "golgi_spread": 0.6, "mito_reach": 0.25,
         "er_reach": 0.2},
        "Abnormal mitotic exit into large flat cells with many micronuclei (Jordan et al., Cancer "
        "Res 1996); microtubule bundles carry organelles outwards (Jordan and Wilson, Nat Rev "
        "Cancer 2004).",
    ),
    "topoisomerase i inhibitor": Mechanism(
        {"density": -0.85, "nucleus_area": 0.5, "nucleus_spread": 0.4, "cell_area": 0.45,
         "mitotic": -2.5, "dead": 0.9, "dna": -0.1, "chromatin": -0.35, "nucleoli": -0.3,
         "nucleoli_number": -0.7, "nucleoli_size": 0.25, "rna": -0.15, "fibres": 0.2},
        "DNA damage halts the cycle: few, large, flat cells with large nuclei (Perlman et al., "
        "Science 2004); nucleoli merge into few round ones (Burger et al., J Biol Chem 2010).",
    ),
    "topoisomerase ii inhibitor": Mechanism(
        {"density": -1.05, "nucleus_area": 0.42, "nucleus_spread": 0.6, "nucleus_lobes": 0.5,
         "cell_area": 0.35, "mitotic": -2.0, "micronuclei": 1.5, "dead": 1.4, "chromatin": 0.35,
         "dna": -0.3, "nucleoli": -0.8, "nucleoli_size": -0.3, "rna": -0.3, "mito": 0.2},
        "As other DNA damage, with mis-segregated chromosomes; anthracyclines quench Hoechst and "
        "stop ribosome synthesis (Burger et al., J Biol Chem 2010).",
    ),
    "hdac inhibitor": Mechanism(
        {"density": -0.5, "cell_area": 0.55, "elongation": 0.65, "tips": 0.6,
         "nucleus_area": 0.3, "dna": -0.2, "chromatin": -0.8, "mitotic": -1.0, "fibres": 0.9,
         "nucleoli_number": -0.35, "golgi_spread": 0.3, "agp": 0.2, "mito_reach": 0.3},
        "Flat, elongated cells with actin stress fibres (Hoshikawa et al., Exp Cell Res 1994); "
        "chromatin decondenses (Toth et al., J Cell Sci 2004).",
    ),
    "proteasome inhibitor": Mechanism(
        {"density": -0.9, "dead": 2.3, "cell_area": -0.5, "tips": -0.2, "nucleus_area": -0.25,
         "nucleus_lobes": 1.0, "nucleoli_size": 0.35, "nucleoli": 0.2, "er": 0.35,
         "er_reach": -0.45, "rna": 0.2, "golgi": 0.4, "golgi_spread": -0.4, "mito_reach": -0.6,
         "mito_fragments": 1.5, "vacuoles": 2.6},
        "Aggresomes push organelles to the nucleus and dent it (Johnston et al., J Cell Biol "
        "1998); ER dilates into vacuoles and cells die (Obeng et al., Blood 2006).",
    ),
    "cdk inhibitor": Mechanism(
        {"density": -0.75, "mitotic": -3.0, "cell_area": 0.5, "nucleus_area": 0.3,
         "nucleus_spread": -0.3, "nucleoli_number": -0.8, "nucleoli_size": 0.55, "rna": -0.1,
         "er_reach": 0.25, "puncta": 0.6},
        "No entry into mitosis; held in G1 the cells go on growing (Foy et al., Mol Cell 2023). "
        "Inhibitors that also reach CDK9 dissolve the nucleoli (Burger et al., J Biol Chem 2010).",
    ),
    "dihydrofolate reductase inhibitor": Mechanism(
        {"density": -0.8, "nucleus_area": 0.32, "cell_area": 0.25, "mitotic": -1.6, "dna": 0.05,
         "chromatin": -0.3, "nucleoli_size": 0.45, "nucleoli": 0.25, "rna": 0.15,
         "elongation": 0.2},
        "Without thymidylate S phase stalls while RNA and protein go on being made: 'unbalanced "
        "growth' (Borsa and Whitmore, Cancer Res 1969).",
    ),
    "hmgcr inhibitor": Mechanism(
        {"density": -0.45, "cell_area": -0.6, "elongation": 1.1, "tips": 0.7, "fibres": -1.4,
         "edge": -0.5, "nucleus_area": -0.12, "er": 0.3, "er_reach": -0.2, "golgi": 0.15,
         "dead": 0.6, "mito_reach": -0.2},
        "Without prenylated Rho actin fibres are lost, the body rounds up and long thin processes "
        "remain (Fenton et al., J Cell Biol 1992); the ER gains membrane full of the enzyme.",
    ),
    "dopamine receptor antagonist": Mechanism(
        {"density": -0.15, "vacuoles": 3.4, "puncta": 1.9, "agp": 0.1, "golgi_spread": 0.4,
         "mito": -0.1, "er_reach": -0.1},
        "Phenothiazines are cationic amphiphiles: swollen lysosomes and phospholipidosis "
        "(Halliwell, Toxicol Pathol 1997; Schneidewind et al., Cell Chem Biol 2021).",
    ),
    "monoamine reuptake inhibitor": Mechanism(
        {"density": -0.05, "vacuoles": 2.7, "puncta": 1.2, "golgi_spread": 0.25},
        "Tricyclics are cationic amphiphiles too, of weaker effect (Schneidewind et al., Cell Chem "
        "Biol 2021).",
    ),
    "glucocorticoid receptor agonist": Mechanism(
        {"density": -0.12, "cell_area": 0.18, "fibres": 0.6, "edge": 0.3, "elongation": -0.2,
         "agp": 0.1},
        "Stabilises actin filaments (Castellino et al., PNAS 1992); weak, as there is little "
        "receptor in these cells (Rogatsky et al., Mol Cell Biol 1997).",
    ),
    "egfr inhibitor": Mechanism(
        {"density": -0.35, "mitotic": -0.9, "cell_area": -0.15, "edge": -0.8,
         "nucleoli_size": -0.35, "nucleoli": -0.2, "rna": -0.2, "tips": -0.2,
         "mito_reach": 0.15},
        "The receptor drives membrane ruffles (Chinkers et al., J Cell Biol 1979) and growth: "
        "without it smooth edges, smaller nucleoli, fewer cells.",
    ),
    "bacterial dna gyrase inhibitor": Mechanism(
        {"mito": -0.25, "mito_fragments": 0.7, "density": -0.05},
        "Fluoroquinolones impair the topoisomerase of mitochondria (Hangas et al., Nucleic Acids "
        "Res 2018); weak.",
    ),
    "cyclooxygenase inhibitor": Mechanism(
        {"er": 0.12, "density": -0.06, "mito": -0.08},
        "Weak; some uncouple mitochondria or empty the ER of calcium (Johnson et al., Biochem J "
        "2002).",
    ),
    "calcium channel blocker": Mechanism(
        {"puncta": 0.5, "er": -0.08, "fibres": -0.12},
        "Weak: no voltage-gated channels to speak of; dihydropyridines are lipophilic amines or "
        "esters that collect in membranes.",
    ),
    "beta adrenergic receptor antagonist": Mechanism({"puncta": 0.3, "vacuoles": 0.3}, _NOTHING),
    "gaba receptor modulator": Mechanism({"mito": 0.05}, _NOTHING),
    # Below: mechanisms without a drug in the table that ships, for tables of the user's.
    "aurora kinase inhibitor": Mechanism(
        {"density": -0.7, "nucleus_area": 0.75, "nucleus_spread": 1.0, "nucleus_lobes": 1.0,
         "multinucleate": 1.8, "micronuclei": 1.5, "cell_area": 0.7, "mitotic": 0.3,
         "arrested": 1.5},
        "Cytokinesis fails: huge, lobed, polyploid nuclei (Ditchfield et al., J Cell Biol 2003).",
    ),
    "plk inhibitor": Mechanism(
        {"density": -0.7, "mitotic": 2.8, "arrested": 4.0, "dead": 1.5, "micronuclei": 1.3,
         "cell_area": -0.1},
        "Arrest in prometaphase with a monopolar spindle (Lenart et al., Curr Biol 2007).",
    ),
    "kinesin inhibitor": Mechanism(
        {"density": -0.5, "mitotic": 2.6, "arrested": 3.0, "dead": 0.8, "multinucleate": 1.0},
        "Monopolar spindles, mitotic arrest; interphase cells are normal (Mayer et al., Science "
        "1999).",
    ),
    "mtor inhibitor": Mechanism(
        {"density": -0.4, "cell_area": -0.4, "nucleus_area": -0.2, "nucleoli_size": -0.5,
         "nucleoli": -0.3, "rna": -0.35, "mitotic": -0.8, "puncta": 0.7, "mito_reach": 0.2},
        "Smaller cells and nucleoli (Fingar et al., Genes Dev 2002).",
    ),
    "pi3k inhibitor": Mechanism(
        {"density": -0.35, "cell_area": -0.3, "nucleoli_size": -0.35, "rna": -0.25,
         "edge": -0.7, "mitotic": -0.6, "vacuoles": 1.2},
        "As mTOR, without ruffles; Vps34 inhibition swells endosomes (Reaves et al., J Cell Sci "
        "1996).",
    ),
    "protein synthesis inhibitor": Mechanism(
        {"density": -0.8, "nucleoli": -1.4, "nucleoli_size": -0.4, "rna": -0.5, "er": -0.3,
         "golgi": -0.5, "mitotic": -1.8, "cell_area": -0.25, "dead": 0.6},
        "Nucleoli fade from the RNA stain and the cells shrink (Gustafsdottir et al., PLoS ONE "
        "2013).",
    ),
    "rna polymerase inhibitor": Mechanism(
        {"density": -0.9, "nucleoli": -1.2, "nucleoli_number": -0.9, "nucleoli_size": -0.2,
         "rna": -0.6, "chromatin": 0.4, "nucleus_area": -0.15, "mitotic": -2.5, "dead": 1.2},
        "Nucleoli segregate and lose their RNA (Burger et al., J Biol Chem 2010).",
    ),
    "vacuolar atpase inhibitor": Mechanism(
        {"density": -0.5, "vacuoles": 3.6, "puncta": 1.2, "golgi": -0.3, "golgi_spread": 0.7,
         "er_reach": -0.2},
        "Lysosomes lose their acid and swell; Golgi swells (Yoshimori et al., J Biol Chem 1991).",
    ),
    "hsp inhibitor": Mechanism(
        {"density": -0.8, "cell_area": -0.2, "elongation": 0.4, "nucleus_lobes": 0.6,
         "dead": 1.3, "er": 0.25, "golgi_spread": 0.5, "mito_reach": -0.3, "fibres": -0.5},
        "Client kinases are lost: shrunken spindly cells and death (Whitesell and Lindquist, Nat "
        "Rev Cancer 2005).",
    ),
    "mitochondrial uncoupler": Mechanism(
        {"density": -0.3, "mito": -0.9, "mito_fragments": 2.8, "mito_reach": -0.2},
        "Threads break into dots and the potential-dependent dye is lost (Legros et al., Mol Biol "
        "Cell 2002).",
    ),
    "actin polymerization inhibitor": Mechanism(
        {"density": -0.45, "fibres": -2.0, "edge": -0.8, "cell_area": -0.7, "tips": 1.0,
         "multinucleate": 2.2, "puncta": 1.2, "agp": 0.2},
        "Fibres gone, arborised cells, failed cytokinesis (Spector et al., Science 1983).",
    ),
    "rho associated kinase inhibitor": Mechanism(
        {"fibres": -1.6, "tips": 0.9, "elongation": 0.6, "edge": 0.3, "multinucleate": 0.8},
        "Stress fibres dissolve, long tails remain (Uehata et al., Nature 1997).",
    ),
}  # fmt: skip

ALSO_CALLED = {
    "tubulin inhibitor": "tubulin polymerization inhibitor",
    "microtubule inhibitor": "tubulin polymerization inhibitor",
    "microtubule destabilizer": "tubulin polymerization inhibitor",
    "microtubule stabilizer": "microtubule stabilizing agent",
    "topoisomerase inhibitor": "topoisomerase ii inhibitor",
    "statin": "hmgcr inhibitor",
    "polo-like kinase inhibitor": "plk inhibitor",
    "eg5 inhibitor": "kinesin inhibitor",
    "protein synthesis": "protein synthesis inhibitor",
    "v-atpase inhibitor": "vacuolar atpase inhibitor",
    "hsp90 inhibitor": "hsp inhibitor",
    "cyclin-dependent kinase inhibitor": "cdk inhibitor",
    "glucocorticoid agonist": "glucocorticoid receptor agonist",
    "mitochondrial oxidative phosphorylation uncoupler": "mitochondrial uncoupler",
    "rock inhibitor": "rho associated kinase inhibitor",
}
