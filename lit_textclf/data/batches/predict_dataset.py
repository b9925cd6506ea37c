"""The torch data set of the rows to be predicted."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import IterableDataset, get_worker_info

from lit_textclf.data.batches.collate import Batch
from lit_textclf.data.batches.parts import PartBatches


class PredictDataset(PartBatches, IterableDataset[Batch]):
    """Batches of parts, in a data loader; with several workers each makes complete parts."""

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        indices = self.indices if worker is None else self.indices[worker.id :: worker.num_workers]
        yield from self.batches_of(indices)
