// Who may see the live page, and which files of a study's folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lathe::report {

// Whether an address to listen on, or a Host header with or without a port, is this machine itself.
// Without a token others must not be answered: a page on the web could send a browser here under a
// name of its own (DNS rebinding).
bool IsThisMachine(std::string_view host);

// Whether a token can stand in an address and a cookie, and is not too easily guessed.
bool IsFitToken(std::string_view token);

// In a time that does not tell how much of it was right.
bool SameToken(std::string_view given, std::string_view token);

// The value of a cookie; empty: it is not there.
std::string CookieValue(std::string_view header, std::string_view name);

// The file that `path` names in `folder`; nullopt for what is no plain file, is hidden, or lies
// outside, also by way of links.
std::optional<std::filesystem::path> FileInside(const std::filesystem::path& folder,
                                                std::string_view path);

}  // namespace lathe::report
