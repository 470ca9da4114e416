<?php

// Promises: says in order what works between this portal and its relay, and what to do about what does not.
// Leans on: the probes; each is on its own, so one that fails leaves the others standing.
// Must never: change anything but the validation bundle, or show a secret.

declare(strict_types=1);

namespace Bitrelay\Connector\Check;

use Bitrelay\Connector\Wiring;
use Bitrix\Main\Localization\Loc;

final class Diagnosis
{
    public function __construct(private readonly Wiring $wiring)
    {
    }

    /** @return list<Finding> */
    public function run(string $appClientId, int $userId): array
    {
        $portal = new PortalProbes($this->wiring);
        $network = new NetworkProbes($this->wiring->settings->relayUrl, $this->wiring->trustedCa()->path());
        $relay = new RelayProbes($this->wiring);
        $findings = [];
        $probes = [
            $portal->php(...),
            $portal->cryptoKey(...),
            $portal->handlers(...),
            $portal->cacheFolder(...),
            $portal->redirect(...),
            $portal->curlClient(...),
            $network->dns(...),
            $network->tls(...),
            $relay->credentials(...),
            $relay->echoAndClock(...),
            $relay->bundle(...),
            static fn (): array => $relay->tokenRoundTrip($appClientId, $userId),
            $portal->agents(...),
            $portal->outbox(...),
        ];
        foreach ($probes as $probe) {
            try {
                array_push($findings, ...$probe());
            } catch (\Throwable $error) {
                $findings[] = Finding::fail('PROBE_BROKE', ['ERROR' => get_class($error)]);
            }
        }
        return $findings;
    }

    public static function text(Finding $finding): string
    {
        Loc::loadMessages(__FILE__);
        return (string)Loc::getMessage('BITRELAY_CHECK_' . $finding->code, $finding->replacements());
    }

    /** What to do about it; empty when nothing is to be done. */
    public static function remedy(Finding $finding): string
    {
        Loc::loadMessages(__FILE__);
        return $finding->level === Finding::OK
            ? ''
            : (string)Loc::getMessage('BITRELAY_CHECK_' . $finding->code . '_FIX', $finding->replacements());
    }
}
