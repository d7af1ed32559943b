// A thin layer over SQLite: prepared statements that bind and read by type, transactions by scope,
// errors as lathe::Error. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace lathe::study {

class Statement {
 public:
  Statement(sqlite3* database, std::string_view sql, const std::filesystem::path& path);

  // The next parameter, in order.
  Statement& Bind(int64_t value);
  Statement& Bind(double value);
  Statement& Bind(std::string_view value);
  Statement& Bind(std::nullopt_t);
  template <typename T>
  Statement& Bind(const std::optional<T>& value) {
    return value ? Bind(*value) : Bind(std::nullopt);
  }

  bool Step();  // true: a row is there
  void Run();   // steps to the end, then may be bound and run again

  bool IsNull(int column) const;
  int64_t Int(int column) const;
  double Real(int column) const;
  std::string_view View(int column) const;  // until the next Step()
  std::string Text(int column) const { return std::string(View(column)); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  void Check(int code) const;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  sqlite3* database_;
  std::filesystem::path path_;
  int bound_ = 0;
};

class Database {
 public:
  enum class Mode { kCreate, kReadOnly };
  // Throws kInput for what is no (undamaged) database, kIo when the system refuses.
  Database(const std::filesystem::path& path, Mode mode);

  Statement Prepare(std::string_view sql) const { return Statement(database_.get(), sql, path_); }
  void Execute(const std::string& sql) const;  // any number of statements
  int64_t LastId() const;
  bool HasTable(std::string_view name) const;
  bool IsEmpty() const;  // nothing was ever made in it
  bool InTransaction() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::filesystem::path path_;
  std::unique_ptr<sqlite3, Close> database_;
};

// Rolls back unless committed. A read transaction sees one moment of the database; it needs no
// commit. Within another one it is a part of that: committed with it or not at all.
class Transaction {
 public:
  enum class Kind { kWrite, kRead };
  explicit Transaction(const Database& database, Kind kind = Kind::kWrite);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void Commit();

 private:
  const Database& database_;
  const bool inner_;
  bool open_ = true;
};

}  // namespace lathe::study
