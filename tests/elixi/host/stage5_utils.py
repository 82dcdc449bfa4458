"""A double of the host's `stage5_utils`: its interfaces, and the truth test of `mongodb` that pymongo refuses."""

import json
from datetime import datetime, timedelta


class Logger:
    @staticmethod
    def _write(level, component, message, details):
        print(f"[{datetime.now():%Y-%m-%d %H:%M:%S}] [{level}] [{component}] {message}")
        if details:
            print(f"  Details: {json.dumps(details)}")

    @staticmethod
    def debug(component, message, details=None):
        Logger._write("DEBUG", component, message, details)

    @staticmethod
    def info(component, message, details=None):
        Logger._write("INFO", component, message, details)

    @staticmethod
    def warning(component, message, details=None):
        Logger._write("WARNING", component, message, details)

    @staticmethod
    def error(component, message, details=None):
        Logger._write("ERROR", component, message, details)


class ConfigLoader:
    @classmethod
    def load(cls):
        return {"ollama_enabled": True, "ollama_api_url": "http://localhost:11434", "default_model": "mistral"}


class CacheManager:
    def __init__(self, mongodb=None):
        self.mongodb = mongodb
        self.memory_cache = {}

    def get(self, key):
        if key in self.memory_cache:
            value, expires = self.memory_cache[key]
            if datetime.now() < expires:
                return value
            del self.memory_cache[key]
        if self.mongodb:
            document = self.mongodb.db.cache.find_one({"key": key})
            if document and datetime.now() < document["expires"]:
                return document["value"]
        return None

    def set(self, key, value, ttl_minutes=60, persistent=False):
        expires = datetime.now() + timedelta(minutes=ttl_minutes)
        self.memory_cache[key] = (value, expires)
        if persistent and self.mongodb:
            document = {"key": key, "value": value, "expires": expires, "created_at": datetime.now()}
            self.mongodb.db.cache.update_one({"key": key}, {"$set": document}, upsert=True)

    def clear(self, key=None):
        if key is None:
            self.memory_cache.clear()
            return
        self.memory_cache.pop(key, None)
        if self.mongodb:
            self.mongodb.db.cache.delete_one({"key": key})
