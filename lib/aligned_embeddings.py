"""Start an encoder's token embeddings where a token stands near those that translate it.

Tokens of the same translated lines get vectors alike: the singular vectors of the matrix of blocks
of pairs and their tokens, a rare one weighing more (Levy, Søgaard & Goldberg 2017, arXiv
1608.05426).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lib.errors import InputError


def start(model: Any, pairs: dict[str, torch.Tensor], special: list[int], seed: int) -> None:
    """Set the embeddings of tokens of `pairs`, each as long as the random one that it replaces.

    `pairs` are blocks of token ids [n, length], by language; `special` tokens, and those that no
    block holds, stay random. The seed turns the vectors, which changes no angle between them.
    Raises InputError for fewer blocks, or tokens of the vocabulary, than the encoder is wide.
    """
    from scipy.stats import ortho_group

    embeddings = model.get_input_embeddings().weight
    vocabulary, width = embeddings.shape
    number = sum(map(len, pairs.values()))
    if number <= width:
        raise InputError(f"pretraining.aligned_embeddings: {number} blocks of translations, "
                         f"expected more than encoder.hidden_size, {width}")  # fmt: skip
    if vocabulary <= width:
        raise InputError(f"pretraining.aligned_embeddings: encoder.vocabulary_size {vocabulary}, "
                         f"expected more than encoder.hidden_size, {width}")  # fmt: skip
    found = vectors(torch.cat(list(pairs.values())).numpy(), vocabulary, width, special)
    turned = found @ ortho_group.rvs(width, random_state=seed)
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    known = torch.from_numpy(lengths[:, 0] > 0).to(embeddings.device)
    directions = torch.from_numpy(turned / np.maximum(lengths, 1e-12)).float()
    with torch.no_grad():
        of = embeddings[known].norm(dim=1, keepdim=True)
        embeddings[known] = directions.to(embeddings.device)[known] * of


def vectors(
    blocks: NDArray[np.integer], vocabulary: int, width: int, special: list[int]
) -> NDArray[np.float64]:
    """Return a vector of each token [vocabulary, width], zero for those of no block and `special`.

    There must be more blocks [n, length] than vectors are wide.
    """
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    number, length = blocks.shape
    tokens, rows = blocks.ravel(), np.repeat(np.arange(number), length)
    text = ~np.isin(tokens, special)
    places = (rows[text], tokens[text])
    stands = csr_matrix((np.ones(len(places[0])), places), shape=(number, vocabulary))
    stands.data[:] = 1  # how often it stands in the block does not count
    weighted = TfidfTransformer(norm=None).fit_transform(stands)
    decomposed = TruncatedSVD(width, algorithm="arpack", random_state=0).fit(weighted)
    return np.where(np.asarray(stands.sum(0)).T > 0, decomposed.components_.T, 0.0)
