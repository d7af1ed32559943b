#include "report/access.h"

#include <algorithm>
#include <cctype>

namespace lathe::report {

namespace fs = std::filesystem;

bool IsThisMachine(std::string_view host) {
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else if (std::ranges::count(host, ':') == 1) {
    host = host.substr(0, host.find(':'));
  }
  constexpr std::string_view kDigits = "0123456789.";
  const bool numbers = host.find_first_not_of(kDigits) == std::string_view::npos;
  return host == "localhost" || host == "::1" || (numbers && host.starts_with("127."));
}

bool IsFitToken(std::string_view token) {
  constexpr size_t kShortest = 8;
  return token.size() >= kShortest && std::ranges::all_of(token, [](unsigned char c) {
           return std::isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool SameToken(std::string_view given, std::string_view token) {
  if (token.empty()) return false;
  size_t difference = given.size() ^ token.size();
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i] ^ token[i % token.size()]);
  }
  return difference == 0;
}

std::string CookieValue(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(';'), header.size());
    std::string_view part = header.substr(0, end);
    header.remove_prefix(std::min(header.size(), end + 1));
    part.remove_prefix(std::min(part.size(), part.find_first_not_of(' ')));
    if (part.starts_with(name) && part.substr(name.size()).starts_with('=')) {
      return std::string(part.substr(name.size() + 1));
    }
  }
  return "";
}

std::optional<fs::path> FileInside(const fs::path& folder, std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return std::nullopt;
  const fs::path relative(path);
  if (relative.is_absolute()) return std::nullopt;
  for (const fs::path& part : relative) {
    if (part.string().starts_with('.')) return std::nullopt;  // also ".."
  }
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  if (error) return std::nullopt;
  fs::path file = fs::canonical(root / relative, error);
  if (error || !fs::is_regular_file(file, error)) return std::nullopt;
  const auto [end_of_root, unused] = std::ranges::mismatch(root, file);
  if (end_of_root != root.end()) return std::nullopt;
  return file;
}

}  // namespace lathe::report
