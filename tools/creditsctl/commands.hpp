// The commands. Each function adds one to the program: its flags, its help and its action, which
// throws Failure or StoreError on failure.
#pragma once

#include "tools/creditsctl/options.hpp"

namespace credits::creditsctl {

void add_stats(CLI::App& app, const Options& options);
void add_top(CLI::App& app, const Options& options);
void add_show(CLI::App& app, const Options& options);
void add_history(CLI::App& app, const Options& options);
void add_list(CLI::App& app, const Options& options);
void add_export(CLI::App& app, const Options& options);
void add_import(CLI::App& app, const Options& options);
void add_quota(CLI::App& app, const Options& options);
void add_check(CLI::App& app, const Options& options);
void add_backup(CLI::App& app, const Options& options);
void add_migrate(CLI::App& app, const Options& options);
void add_completion(CLI::App& app);

}  // namespace credits::creditsctl
