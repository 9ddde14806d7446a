-- Who draws the dashboard, and may read what it shows: no names, addresses, devices or records. Once, when Cordon has made its tables:
--   docker compose -f deploy/compose.yaml exec -T timescaledb psql -v ON_ERROR_STOP=1 -v password="$CORDON_READER_PASSWORD" \
--     -U cordon cordon < deploy/grafana/reader.sql
-- Again after an upgrade: what is there already stays.
select 'create role cordon_reader login' where not exists (select from pg_roles where rolname = 'cordon_reader') \gexec
alter role cordon_reader with login password :'password' connection limit 20;
alter role cordon_reader set default_transaction_read_only = on;
alter role cordon_reader set statement_timeout = '30s';
grant usage on schema public to cordon_reader;
grant select on decisions_hourly, people_daily, violations_daily, coverage_hours, shadow_ai, writers to cordon_reader;
grant select (tenant, time, decision_id, decision, person_key, user_department, resource_id, resource_name, resource_host, action, source, mode,
  would_be, primary_policy_id, reason) on decisions to cordon_reader;
