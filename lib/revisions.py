"""Pin what is read from the hub."""

# A hub revision for every id: what `load_dataset` reads does not change under our feet. The commit
# of `google/xtreme` is the one that ends its conversion to parquet (its pull request 9, where the
# loading script goes). The main branches of `allenai/cosmos_qa` and `sick` are loading scripts,
# which `datasets` no longer runs: the commit, or the branch, of the hub's own conversion.
REVISIONS: dict[str, str] = {
    "RobZamp/sick": "refs/convert/parquet",
    "Rowan/hellaswag": "218ec52e09a7e7462a5400043bb9a69a41d06b76",
    "allenai/cosmos_qa": "ed50fe83db62b355759053b1cd5eef344ee371e0",
    "commul/universal_dependencies": "2.5",
    "facebook/anli": "8e4813d81f46d313dac7892e1c28076917cfcdf9",
    "facebook/xnli": "b8dd5d7af51114dbda02c0e3f6133f332186418e",
    "google/xtreme": "21f88c0ff5bf413a83c854eb00050e75d245161f",
    "google-research-datasets/paws": "161ece9501cf0a11f3e48bd356eaa82de46d6a09",
    "mteb/BUCC": "414572247440f0ccacf7eb0bb70a31533a0e5443",
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "nyu-mll/multi_nli": "da70db2af9d09693783c3320c4249840212ee221",
    "rajpurkar/squad": "7b6d24c440a36b6815f21b70d25016731768db1f",
    "rajpurkar/squad_v2": "3ffb306f725f7d2ce8394bc1873b24868140c412",
    "stanfordnlp/snli": "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
    "tau/commonsense_qa": "94630fe30dad47192a8546eb75f094926d47e155",
}
# Where the hub has moved what a mirror keeps under the id it was published by.
HUB_IDS = {"sick": "RobZamp/sick"}
