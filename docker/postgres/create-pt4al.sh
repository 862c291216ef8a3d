#!/bin/bash
# Run by the PostgreSQL image when it initialises an empty volume: the backend's own role and database. The role can
# connect to no other, so it cannot read Label Studio's tables.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password PT4AL_DB_PASSWORD
\getenv label_studio POSTGRES_DB
CREATE ROLE pt4al LOGIN PASSWORD :'password';
CREATE DATABASE pt4al OWNER pt4al;
REVOKE CONNECT ON DATABASE pt4al FROM PUBLIC;
REVOKE CONNECT ON DATABASE :"label_studio" FROM PUBLIC;
SQL
