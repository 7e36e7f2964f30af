// SPDX-License-Identifier: GPL-2.0-or-later
//
// No user can fill the log or stop the machine: messages and warnings come once,
// or at a limited rate, but for those of loading the module.

@message@
identifier f =~ "^(printk|pr_(emerg|alert|crit|err|warn|notice|info|cont|debug)|dev_(err|warn|info)|dump_stack|BUG|BUG_ON|VM_BUG_ON|WARN|WARN_ON|panic)$";
position p;
@@
f@p(...)

@script:python@
p << message.p;
f << message.f;
@@
if not p[0].current_element.endswith(("init", "_register")):
    print("%s:%s: %s, by whoever likes" % (p[0].file, p[0].line, f))
