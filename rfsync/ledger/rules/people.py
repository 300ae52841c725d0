"""The rules of the people whom jobs name."""

from typing import Final

from rfsync.ledger.rules.rule import Rule

PEOPLE_RULES: Final[dict[str, Rule]] = {
    "every person is there": Rule(
        "its jobs, their changes or the days of its labelers name {expected}, the table people has {found}",
        "{}",
        """
SELECT r.project_id, 'people' AS what, 'person-' || r.person AS expected, 'no such row' AS found
FROM (
    SELECT project_id, labeler_id AS person FROM jobs
    UNION SELECT project_id, reviewer_id FROM jobs
    UNION SELECT project_id, labeler_id FROM job_changes
    UNION SELECT project_id, reviewer_id FROM job_changes
    UNION SELECT project_id, labeler_id FROM labeler_daily WHERE labeler_id <> 0
) r LEFT JOIN people p ON p.id = r.person
WHERE r.person IS NOT NULL AND p.id IS NULL""",
    ),
    "an address is stored only where it may be": Rule(
        "it has to have no address, since {expected}; it has {found}",
        "{}",
        """
SELECT CAST(NULL AS bigint) AS project_id, 'person-' || p.id AS what, 'an address' AS found,
    CASE WHEN p.forgotten_at IS NULL THEN 'people are kept as pseudonyms' ELSE 'it was forgotten' END AS expected
FROM people p LEFT JOIN people_key k ON k.mode = 'pseudonym'
WHERE p.address IS NOT NULL AND (p.forgotten_at IS NOT NULL OR k.id IS NOT NULL)""",
    ),
}
