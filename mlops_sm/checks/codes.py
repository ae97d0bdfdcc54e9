"""Every code of a problem with a definition, with its meaning in one line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # structure
        "E200": "The definition is not UTF-8 text.",
        "E201": "The definition is not JSON.",
        "E202": "A key is written twice in one object.",
        "E203": "A member of the definition has the wrong JSON type.",
        "E204": "A required member of the definition is missing.",
        "E205": "A member is unknown at this place of the definition.",
        "E206": "A word is not in its vocabulary: Version, Type of a step or parameter, Trigger.",
        "E207": "The definition is nested too deeply.",
        "E208": "A number is NaN, infinite or beyond 64 bits, or a text holds half a surrogate pair.",
        # names and parameters
        "E210": "A name has illegal characters or a wrong length.",
        "E211": "A name is used twice where it must be unique.",
        "E212": "A step has the name of an iteration of a ForEach body step.",
        "E213": "The default of a parameter is not of its type.",
        "E214": "EnumValues stand at a parameter that takes none, or do not hold its default.",
        "E215": "A value was given for a parameter that the definition does not declare.",
        "E216": "The value given for a parameter is not of its type.",
        "E217": "A parameter without a default was given no value.",
        "E218": "The value of a parameter is not among its EnumValues.",
        # references
        "E220": "An expression or a path in it cannot be read.",
        "E221": "An expression names a parameter that is not declared.",
        "E222": "An expression names an execution variable that does not exist.",
        "E223": "A reference, DependsOn or Cleanup names a step that does not exist.",
        "E224": "A property path leads to nothing in the step's Describe response.",
        "E225": "A property path names an output, element or body step that the step does not have.",
        "E226": "Std:JsonGet names a property file that the step does not declare.",
        "E227": "A property file names an output that its step does not have.",
        "E228": "The type of an expression does not fit where it stands.",
        "E229": "An expression stands where it means nothing.",
        # graph
        "E230": "Steps wait for each other in a cycle.",
        "E231": "A step waits for a step in another branch of the same Condition.",
        "E232": "A step outside of a ForEach body waits for one of its body steps.",
        "E233": "A step waits for a Fail step.",
        # shapes
        "E240": "A request has no such member.",
        "E241": "A required member of a request is missing.",
        "E242": "A value has the wrong type for its place in a request.",
        "E243": "A word is not in the enum of its place in a request.",
        "E244": "A text does not match the pattern of its place in a request.",
        "E245": "A text, list or map is too short or too long.",
        "E246": "A number is out of range.",
        "E247": "An expression stands for an object or a list.",
        "E248": "Not exactly one member of a union is given.",
        # required by the service
        "E250": "A member is missing that the service requires though its model does not.",
        "E251": "Members exclude each other.",
        "E252": "A LocalPath of a processing job is outside of /opt/ml/processing.",
        "E253": "A condition is malformed.",
        "E254": "CacheConfig has no valid duration.",
        "E255": "A retry policy is outside of the service's limits.",
        "E256": "Two elements of a list have the same name.",
        "E257": "A number makes no sense to the service though its model allows it.",
        # limits
        "E260": "The definition has too many parameters.",
        "E261": "A display name or a description is too long.",
        "E262": "The items of a ForEach step are none, too many or of the wrong type.",
        "E263": "The body of a ForEach step is empty or holds a step that may not stand there.",
        # warnings
        "W240": "The default of a parameter would be refused where it is used.",
        "W250": "CacheConfig or RetryPolicies have no effect on a step of this kind.",
        "W260": "The definition is too large to be given inline.",
        "W263": "Every iteration of a ForEach writes to the same place.",
    }
)
"""Code -> meaning."""
