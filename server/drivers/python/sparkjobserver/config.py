"""Configurations that behave as pyhocon's trees do, without pyhocon.

``config.get('input.strings', None)``, ``config['a']``, ``config.get_int('a.b')``.
"""


class ConfigException(Exception):
    """A value cannot be had from a configuration."""


class ConfigMissingException(ConfigException, KeyError):
    """There is no value of this key."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class ConfigWrongTypeException(ConfigException):
    """A value is of another type."""


class _Undefined(object):
    pass


_UNDEFINED = _Undefined()


def _split(key):
    """The parts of a dotted key; dots in double quotes belong to their part."""
    parts, part, quoted = [], "", False
    for character in key:
        if character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
    parts.append(part)
    return parts


def _search(tree, key):
    """The value at a path, whichever way its keys were written: nested, or with dots."""
    if dict.__contains__(tree, key):
        return dict.__getitem__(tree, key)
    parts = _split(key)
    for count in range(1, len(parts) + 1):
        inner = dict.get(tree, ".".join(parts[:count]), _UNDEFINED)
        if count == len(parts):
            return inner
        if isinstance(inner, ConfigTree):
            rest = ".".join('"%s"' % part if "." in part else part for part in parts[count:])
            found = _search(inner, rest)
            if found is not _UNDEFINED:
                return found
    return _UNDEFINED


class ConfigTree(dict):
    """A JSON object whose keys may be paths."""

    def __init__(self, values=()):
        super().__init__()
        for key, value in dict(values).items():
            super().__setitem__(key, wrap(value))

    def _find(self, key, default):
        if not isinstance(key, str):
            raise ConfigWrongTypeException("a key is a text, not %r" % (key,))
        found = _search(self, key)
        if found is not _UNDEFINED:
            return found
        if default is _UNDEFINED:
            raise ConfigMissingException("No configuration setting found for key %s" % (key,))
        return default

    def _typed(self, key, default, what, convert):
        value = self._find(key, default)
        if value is None or value is default:
            return value
        try:
            return convert(value)
        except (TypeError, ValueError):
            raise ConfigWrongTypeException(
                "%s has type '%s' rather than '%s'" % (key, type(value).__name__, what)
            ) from None

    def __getitem__(self, key):
        return self._find(key, _UNDEFINED)

    def __contains__(self, key):
        return isinstance(key, str) and self._find(key, _Undefined) is not _Undefined

    def get(self, key, default=_UNDEFINED):
        """The value at a path; without a default a missing one raises."""
        return self._find(key, default)

    def get_string(self, key, default=_UNDEFINED):
        return self._typed(key, default, "str", _text)

    def get_int(self, key, default=_UNDEFINED):
        return self._typed(key, default, "int", int)

    def get_float(self, key, default=_UNDEFINED):
        return self._typed(key, default, "float", float)

    def get_bool(self, key, default=_UNDEFINED):
        return self._typed(key, default, "bool", _truth)

    def get_list(self, key, default=_UNDEFINED):
        return self._typed(key, default, "list", _list)

    def get_config(self, key, default=_UNDEFINED):
        return self._typed(key, default, "ConfigTree", _tree)

    def put(self, key, value):
        """Sets the value at a path, making the trees on the way."""
        tree, parts = self, _split(key)
        for part in parts[:-1]:
            if not isinstance(dict.get(tree, part), ConfigTree):
                dict.__setitem__(tree, part, ConfigTree())
            tree = dict.__getitem__(tree, part)
        dict.__setitem__(tree, parts[-1], wrap(value))

    def pop(self, key, default=_UNDEFINED):
        value = self._find(key, default)
        if dict.__contains__(self, key):
            dict.pop(self, key)
            return value
        tree, parts = self, _split(key)
        for part in parts[:-1]:
            tree = dict.get(tree, part)
            if not isinstance(tree, ConfigTree):
                return value
        dict.pop(tree, parts[-1], None)
        return value

    def as_plain_ordered_dict(self):
        """A plain dict of plain dicts."""
        return _plain(self)


def wrap(value):
    """A JSON value with its objects as trees."""
    if isinstance(value, dict):
        return ConfigTree(value)
    if isinstance(value, list):
        return [wrap(item) for item in value]
    return value


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _text(value):
    if isinstance(value, (dict, list)):
        raise TypeError(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth(value):
    if isinstance(value, bool):
        return value
    truths = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if str(value).lower() not in truths:
        raise ValueError(value)
    return truths[str(value).lower()]


def _list(value):
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        # As in HOCON: an object with numbers for keys is a list.
        return [item for _, item in sorted((int(key), item) for key, item in value.items())]
    raise TypeError(value)


def _tree(value):
    if not isinstance(value, ConfigTree):
        raise TypeError(value)
    return value
