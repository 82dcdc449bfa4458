"""A double of the host's `stage5_base`: its interfaces only."""

from abc import ABC, abstractmethod

from stage5_utils import CacheManager, ConfigLoader, Logger


class BaseAnalyzer(ABC):
    def __init__(self, name, mongodb=None, enable_cache=True):
        self.name = name
        self.mongodb = mongodb
        self.enable_cache = enable_cache
        self.cache = CacheManager(mongodb) if enable_cache else None
        self.config = ConfigLoader.load()
        Logger.info(name, "Initialized")

    @abstractmethod
    def analyze(self, input_data): ...

    def cache_result(self, cache_key, result, ttl_minutes=60):
        self.cache.set(cache_key, result, ttl_minutes, persistent=True)

    def get_cached_result(self, cache_key):
        return self.cache.get(cache_key)


class AnalysisResult:
    def __init__(self, success, data=None, message="", error_code="", metadata=None):
        self.success = success
        self.data = data
        self.message = message
        self.error_code = error_code
        self.metadata = metadata or {}


class PerformanceMonitor:
    def __init__(self):
        self.metrics = {}

    def record(self, analyzer_name, duration_ms, success=True):
        self.metrics.setdefault(analyzer_name, []).append((duration_ms, success))


_monitor = PerformanceMonitor()


def get_performance_monitor():
    return _monitor
