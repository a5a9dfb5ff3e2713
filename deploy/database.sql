-- Run once by PostgreSQL's image, in an empty volume (docs/docker.md): Poort's own user is no superuser.
\set password `cat /run/secrets/database_password`
CREATE USER poort PASSWORD :'password';
CREATE DATABASE poort OWNER poort ENCODING 'UTF8' TEMPLATE template0;
\connect poort
CREATE EXTENSION pg_trgm;
