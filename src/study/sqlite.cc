#include "study/sqlite.h"

#include <sqlite3.h>

#include "base/error.h"

namespace lathe::study {
namespace {

[[noreturn]] void Fail(sqlite3* database, int code, const std::filesystem::path& path) {
  const std::string reason = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      throw Error(ErrorKind::kInput, "{}: not a study database (no SQLite file)", path.string());
    case SQLITE_CORRUPT:
      throw Error(ErrorKind::kInput, "{}: the database is damaged ({}); restore a copy of it",
                  path.string(), reason);
    case SQLITE_FULL:
      throw Error(ErrorKind::kIo,
                  "{}: No space left on device; nothing was lost, make room and continue",
                  path.string());
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorKind::kIo,
                  "{}: another program keeps the database locked; close it and continue",
                  path.string());
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_NOLFS:
      throw Error(ErrorKind::kIo, "{}: cannot use the database: {}", path.string(), reason);
    default:
      throw Error(ErrorKind::kInternal, "{}: SQLite: {} (code {})", path.string(), reason, code);
  }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement::Statement(sqlite3* database, std::string_view sql, const std::filesystem::path& path)
    : database_(database), path_(path) {
  sqlite3_stmt* statement = nullptr;
  Check(
      sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement, nullptr));
  statement_.reset(statement);
}

void Statement::Check(int code) const {
  if (code != SQLITE_OK) Fail(database_, code, path_);
}

Statement& Statement::Bind(int64_t value) {
  Check(sqlite3_bind_int64(statement_.get(), ++bound_, value));
  return *this;
}

Statement& Statement::Bind(double value) {
  Check(sqlite3_bind_double(statement_.get(), ++bound_, value));
  return *this;
}

Statement& Statement::Bind(std::string_view value) {
  Check(sqlite3_bind_text(statement_.get(), ++bound_, value.data(), static_cast<int>(value.size()),
                          SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::Bind(std::nullopt_t) {
  Check(sqlite3_bind_null(statement_.get(), ++bound_));
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code != SQLITE_ROW && code != SQLITE_DONE) Fail(database_, code, path_);
  return code == SQLITE_ROW;
}

void Statement::Run() {
  while (Step()) {
  }
  sqlite3_reset(statement_.get());
  bound_ = 0;
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::Real(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string_view Statement::View(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return "";
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

Database::Database(const std::filesystem::path& path, Mode mode) : path_(path) {
  // A reader, too, opens for writing if it may: after a crash someone has to roll the journal back.
  const int flags = SQLITE_OPEN_READWRITE | (mode == Mode::kCreate ? SQLITE_OPEN_CREATE : 0);
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database, flags, nullptr);
  database_.reset(database);
  if (code != SQLITE_OK) Fail(database, code, path);
  constexpr int kBusyMs = 30000;  // optuna-dashboard may be reading
  sqlite3_busy_timeout(database, kBusyMs);
  // No write-ahead log: it needs shared memory, which network file systems lack. Truncating the
  // journal takes fewer writes to the disk than deleting it.
  Execute("PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
  if (mode == Mode::kReadOnly) Execute("PRAGMA query_only = ON;");
}

void Database::Execute(const std::string& sql) const {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) Fail(database_.get(), code, path_);
}

int64_t Database::LastId() const { return sqlite3_last_insert_rowid(database_.get()); }

bool Database::HasTable(std::string_view name) const {
  return Prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").Bind(name).Step();
}

bool Database::IsEmpty() const { return !Prepare("SELECT 1 FROM sqlite_master").Step(); }

bool Database::InTransaction() const { return sqlite3_get_autocommit(database_.get()) == 0; }

Transaction::Transaction(const Database& database, Kind kind)
    : database_(database), inner_(database.InTransaction()) {
  database_.Execute(inner_ ? "SAVEPOINT part" : kind == Kind::kRead ? "BEGIN" : "BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.Execute(inner_ ? "ROLLBACK TO part; RELEASE part" : "ROLLBACK");
  } catch (const Error&) {
    // SQLite rolls back by itself after some errors (a full disk); then there is nothing left to
    // do.
  }
}

void Transaction::Commit() {
  database_.Execute(inner_ ? "RELEASE part" : "COMMIT");
  open_ = false;
}

}  // namespace lathe::study
