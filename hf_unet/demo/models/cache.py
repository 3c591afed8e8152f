"""Networks kept in memory: each loaded once, however many ask, and the oldest let go."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock

from hf_unet.network import SegmentationNetwork


class ModelCache:
    """Networks by key, those used last first to stay; any number of threads may ask.

    Parameters
    ----------
    capacity : int
        Bytes of weights to keep. The network asked for last stays even if it is larger.

    Examples
    --------
    >>> from hf_unet.model import UNet
    >>> cache = ModelCache(capacity=1_000_000)
    >>> first = cache.get("small", lambda: UNet(base_channels=1, depth=1))
    >>> cache.get("small", lambda: UNet(base_channels=1, depth=1)) is first
    True
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, SegmentationNetwork] = OrderedDict()
        self._loading: dict[Hashable, Future[SegmentationNetwork]] = {}

    def get(self, key: Hashable, load: Callable[[], SegmentationNetwork]) -> SegmentationNetwork:
        """The network of this key; ``load`` is called if it is not kept.

        Who asks while another thread loads it waits for that one, and gets its network or its
        error. An error is not kept: the next who asks tries again.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            waited_for = self._loading.get(key)
            if waited_for is None:
                promise = self._loading[key] = Future[SegmentationNetwork]()
        if waited_for is not None:
            return waited_for.result()
        try:
            network = load()
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            promise.set_exception(error)
            raise
        with self._lock:
            del self._loading[key]
            self._kept[key] = network
            while len(self._kept) > 1 and self.bytes_kept > self.capacity:
                self._kept.popitem(last=False)
        promise.set_result(network)
        return network

    @property
    def bytes_kept(self) -> int:
        """Bytes of the weights of all networks kept."""
        return sum(weight_bytes(network) for network in self._kept.values())


def weight_bytes(network: SegmentationNetwork) -> int:
    """Bytes that a network's weights and statistics take in memory.

    Examples
    --------
    >>> from hf_unet.model import UNet
    >>> weight_bytes(UNet())  # 31,030,658 parameters of 4 bytes
    124122632
    """
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())
