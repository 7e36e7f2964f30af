// SPDX-License-Identifier: GPL-2.0-or-later
/* Linked statically: what test_faults runs without a look at any library. */
int main(void)
{
	return 0;
}
