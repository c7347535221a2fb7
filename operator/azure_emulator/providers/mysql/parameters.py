"""Parameters of MySQL servers: what each is by default, what it may be, and whether a change needs a restart.

A part of the several hundred that a server has: those that databases of HPC sites (accounting, identity, portals)
usually set, with the defaults of MySQL 8.0 and of Azure (azure-docs, concepts-server-parameters).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from azure_emulator.providers.mysql.skus import Sku

_GIB = 2**30


@dataclass(frozen=True)
class Parameter:
    """One parameter; `allowed` is a range (10-20), a list (ON,OFF) or a regular expression ([a-z]+)."""

    name: str
    default: str
    allowed: str
    text: str
    dynamic: bool = True
    fixed: bool = False

    @property
    def kind(self) -> str:
        """Its data type, as Azure names it."""
        if re.fullmatch(r"-?\d+-\d+", self.allowed):
            return "Integer"
        if re.fullmatch(r"\d+\.\d+-\d+\.\d+", self.allowed):
            return "Numeric"
        return "Enumeration" if re.fullmatch(r"[\w.+-]+(?:,[\w.+-]*)*", self.allowed) else "String"

    def accepts(self, value: str) -> bool:
        """Whether it can have that value."""
        if self.kind in ("Integer", "Numeric"):
            low, high = re.fullmatch(r"(-?[\d.]+)-([\d.]+)", self.allowed).groups()  # type: ignore[union-attr]
            number = re.fullmatch(r"-?\d+(?:\.\d+)?", value)
            return number is not None and float(low) <= float(value) <= float(high)
        if self.kind == "Enumeration":
            return value.upper() in self.allowed.upper().split(",")
        return re.fullmatch(self.allowed, value) is not None


_SWITCH, _LARGE = "ON,OFF", "18446744073709551615"
_FIXED = (
    Parameter("audit_log_enabled", "OFF", _SWITCH, "Allow to audit the log."),
    Parameter("audit_log_events", "CONNECTION", r"[A-Z_,]*", "Select the events to audit logs."),
    Parameter("auto_increment_increment", "1", "1-65535", "Controls the interval between successive column values."),
    Parameter("autocommit", "ON", _SWITCH, "The autocommit mode."),
    Parameter("binlog_expire_logs_seconds", "0", "0-4294967295", "Seconds that binary logs are kept."),
    Parameter("binlog_row_image", "FULL", "FULL,MINIMAL,NOBLOB", "How row images are written to the binary log."),
    Parameter("character_set_server", "UTF8MB4", "UTF8MB4,UTF8MB3,UTF8,LATIN1,ASCII,BINARY,UTF16,UTF32",
              "The server's default character set."),
    Parameter("collation_server", "UTF8MB4_0900_AI_CI", r"[A-Za-z0-9_]+", "The server's default collation."),
    Parameter("connect_timeout", "10", "2-31536000", "Seconds that the server waits for a connect packet."),
    Parameter("default_authentication_plugin", "mysql_native_password",
              "mysql_native_password,caching_sha2_password", "The default authentication plugin.", dynamic=False),
    Parameter("default_week_format", "0", "0-7", "The default mode of the WEEK() function."),
    Parameter("event_scheduler", "OFF", _SWITCH, "Indicates the status of the Event Scheduler."),
    Parameter("explicit_defaults_for_timestamp", "ON", _SWITCH, "How defaults of TIMESTAMP columns are handled."),
    Parameter("general_log", "OFF", _SWITCH, "Whether the general query log is enabled."),
    Parameter("group_concat_max_len", "1024", f"4-{_LARGE}", "The longest result of GROUP_CONCAT()."),
    Parameter("gtid_mode", "OFF", "OFF,OFF_PERMISSIVE,ON_PERMISSIVE,ON", "Whether GTIDs are used to log."),
    Parameter("enforce_gtid_consistency", "OFF", "OFF,WARN,ON", "Whether statements that break GTIDs are refused."),
    Parameter("innodb_adaptive_hash_index", "ON", _SWITCH, "Whether InnoDB's adaptive hash indexes are enabled."),
    Parameter("innodb_autoinc_lock_mode", "2", "0-2", "The lock mode of auto-increment values.", dynamic=False),
    Parameter("innodb_file_per_table", "ON", _SWITCH, "Whether each table has a file of its own."),
    Parameter("innodb_flush_log_at_trx_commit", "1", "0-2", "How strictly commits are durable."),
    Parameter("innodb_io_capacity", "200", "100-1500", "The rate of background I/O."),
    Parameter("innodb_lock_wait_timeout", "50", "1-3600", "Seconds that a transaction waits for a row lock."),
    Parameter("innodb_log_buffer_size", "16777216", "1048576-4294967295", "Size of the log buffer."),
    Parameter("innodb_log_file_size", "268435456", "4194304-549755813888", "Size of each log file.", dynamic=False),
    Parameter("innodb_max_dirty_pages_pct", "90.00", "0.00-99.99", "The share of dirty pages that is aimed at."),
    Parameter("innodb_page_size", "16384", "4096-65536", "The page size of InnoDB.", dynamic=False, fixed=True),
    Parameter("innodb_print_all_deadlocks", "OFF", _SWITCH, "Whether deadlocks are written to the error log."),
    Parameter("innodb_strict_mode", "ON", _SWITCH, "Whether InnoDB returns errors rather than warnings."),
    Parameter("interactive_timeout", "28800", "1-31536000", "Seconds before an interactive connection is closed."),
    Parameter("local_infile", "ON", _SWITCH, "Whether LOAD DATA LOCAL is possible."),
    Parameter("log_bin_trust_function_creators", "OFF", _SWITCH, "Whether creators of functions are trusted."),
    Parameter("log_output", "FILE", "FILE,NONE", "Where general and slow query logs go."),
    Parameter("long_query_time", "10.00", "0.00-3600.00", "From how many seconds on a query counts as slow."),
    Parameter("lower_case_table_names", "1", "1,2", "How names of tables are compared.", dynamic=False, fixed=True),
    Parameter("max_allowed_packet", "16777216", "1024-1073741824", "The largest packet."),
    Parameter("max_connect_errors", "100", f"1-{_LARGE}", "So many failures block a host."),
    Parameter("max_heap_table_size", "16777216", "16384-268435455", "The largest table in memory."),
    Parameter("max_prepared_stmt_count", "16382", "0-1048576", "How many prepared statements there can be."),
    Parameter("net_read_timeout", "120", "10-3600", "Seconds to wait for more data."),
    Parameter("net_write_timeout", "240", "10-3600", "Seconds to wait for a block to be written."),
    Parameter("performance_schema", "ON", _SWITCH, "Whether the performance schema is enabled.", dynamic=False),
    Parameter("require_secure_transport", "ON", _SWITCH, "Whether clients must connect over TLS."),
    Parameter("slow_query_log", "OFF", _SWITCH, "Whether the slow query log is enabled."),
    Parameter("sql_mode", "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
              "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES", r"[A-Z_,]*", "The server's SQL mode."),
    Parameter("table_open_cache", "2000", "1-4000", "The number of open tables for all threads."),
    Parameter("time_zone", "SYSTEM", r"SYSTEM|[+-]\d{1,2}:\d{2}|[A-Za-z_]+/[A-Za-z_/]+", "The server's time zone."),
    Parameter("tls_version", "TLSv1.2", r"TLSv1(?:\.[123])?(?:,TLSv1(?:\.[123])?)*", "Versions of TLS that clients may "
              "use.", dynamic=False),
    Parameter("transaction_isolation", "REPEATABLE-READ",
              "READ-UNCOMMITTED,READ-COMMITTED,REPEATABLE-READ,SERIALIZABLE", "The default isolation level."),
    Parameter("wait_timeout", "28800", "60-240000", "Seconds before an idle connection is closed."),
)  # fmt: skip


def of_size(sku: Sku) -> dict[str, Parameter]:
    """All parameters of a server of that size, by name."""
    memory = sku.total_memory
    connections = int(memory / _GIB * 85.34)
    pool = memory * 3 // 4
    sized = (
        Parameter("innodb_buffer_pool_size", str(pool), f"134217728-{pool}", "Size of the buffer pool.", dynamic=False),
        Parameter("max_connections", str(connections), f"10-{connections * 2}", "The number of clients at a time."),
    )
    return {parameter.name: parameter for parameter in sorted((*_FIXED, *sized), key=lambda one: one.name)}
