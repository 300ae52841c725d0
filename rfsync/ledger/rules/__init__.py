"""The rules that the database has to satisfy, as queries for what breaks them, and the words for that."""

from typing import Final

from rfsync.ledger.rules.days import DAY_RULES, OF_WORKSPACE
from rfsync.ledger.rules.people import PEOPLE_RULES
from rfsync.ledger.rules.records import BOOKS, rules_of
from rfsync.ledger.rules.rule import Rule

__all__ = ["OF_WORKSPACE", "RULES", "Rule"]

RULES: Final[dict[str, Rule]] = {
    name: rule for rules in (*map(rules_of, BOOKS), DAY_RULES, PEOPLE_RULES) for name, rule in rules.items()
}
