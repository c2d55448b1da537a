-- What `totpd status` counts without reading the records: until when a class is locked and a ticket is good.
ALTER TABLE account ADD COLUMN locked_until INTEGER;
ALTER TABLE account ADD COLUMN ticket_until INTEGER;

UPDATE account SET ticket_until = json_extract(record, '$.ticket.expires')
WHERE instr(record, '"ticket":{') > 0 AND json_valid(record);

UPDATE account SET locked_until = (
  SELECT max(json_extract(tree.value, '$.start') + json_extract(tree.value, '$.length'))
  FROM json_tree(account.record, '$.guard') AS tree WHERE tree.key = 'lock' AND tree.type = 'object'
)
WHERE instr(record, '"lock":{') > 0 AND json_valid(record);

CREATE INDEX account_locked ON account (locked_until) WHERE locked_until IS NOT NULL;
CREATE INDEX account_ticket ON account (ticket_until) WHERE ticket_until IS NOT NULL;
