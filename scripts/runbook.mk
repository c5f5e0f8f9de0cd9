# The stages of scripts/runbook as targets of make.
#
#   make -f scripts/runbook.mk upgrade TO=stable-2.14.10 CONTEXT=prod UPGRADE_FLAGS='-f values.yaml'
#   make -f scripts/runbook.mk verdict TO=stable-2.14.10    one stage
#   make -f scripts/runbook.mk from-roll TO=stable-2.14.10  that stage and all after it
#
# YES=1 does not ask; without it, control-plane and roll ask on the terminal. The flags of each tool
# are SURVEY_FLAGS, CHECK_FLAGS, UPGRADE_FLAGS and ROLL_FLAGS; scripts/runbook --help says more.
STAGES := survey notes verdict control-plane drift roll done
DIR ?= evidence
RUNBOOK := $(dir $(lastword $(MAKEFILE_LIST)))runbook $(if $(CONTEXT),--context '$(CONTEXT)') --dir '$(DIR)' $(if $(YES),--yes)
export SURVEY_FLAGS CHECK_FLAGS UPGRADE_FLAGS ROLL_FLAGS

.PHONY: upgrade $(STAGES) $(STAGES:%=from-%)
# Two stages never run at the same time.
.NOTPARALLEL:

upgrade:
	@$(RUNBOOK) '$(TO)'

$(STAGES):
	@$(RUNBOOK) --only $@ '$(TO)'

$(STAGES:%=from-%):
	@$(RUNBOOK) --from $(@:from-%=%) '$(TO)'
