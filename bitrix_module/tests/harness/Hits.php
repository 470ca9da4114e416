<?php

// Promises: pieces of portal code that several tests run as hits.
// Leans on: the stub kernel.
// Must never: decide what a test expects.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Hits
{
    /** A REST call's authorization, as the stock server does it: handlers by sort until one does not say null. */
    public static function rest(string $token, string $scope = 'crm'): string
    {
        return '
            $res = null;
            $accepted = null;
            foreach (GetModuleEvents("rest", "OnRestCheckAuth", true) as $handler) {
                $accepted = ExecuteModuleEventEx($handler, [["auth" => "' . $token . '"], "' . $scope . '", &$res]);
                if ($accepted !== null) {
                    break;
                }
            }
            return ["accepted" => $accepted, "error" => $res["error"] ?? null, "info" => $res, "user" => $GLOBALS["USER"]->GetID()];';
    }

    /** Deals added by a person: each fires the portal's PHP event, which the stock code turns into REST events. */
    public static function deals(int $first, int $count, string $more = ''): string
    {
        return '
            for ($i = ' . $first . '; $i < ' . ($first + $count) . '; $i++) {
                (new \Bitrix\Main\Event("crm", "OnAfterCrmDealAdd", [["FIELDS" => ["ID" => $i], "TITLE" => "deal $i"]]))->send();
            }
            ' . $more;
    }

    /** Make the portal think that the relay confirmed the bundle so many seconds ago. */
    public static function ageBundle(int $seconds): string
    {
        return '
            \Bitrix\Main\Loader::includeModule("bitrelay.connector");
            $wiring = \Bitrelay\Connector\Wiring::instance();
            $head = $wiring->state()->readArray("bundle_head");
            $head["checked_at"] = time() - ' . $seconds . ';
            $wiring->state()->writeArray("bundle_head", $head, time());
            $wiring->cache()->delete("bundle.now");';
    }

    /** The same for the bundle's own end. */
    public static function endBundle(): string
    {
        return '
            \Bitrix\Main\Loader::includeModule("bitrelay.connector");
            $wiring = \Bitrelay\Connector\Wiring::instance();
            $data = json_decode($wiring->state()->read("bundle")["value"], true);
            $data["exp"] = time() - 1;
            $body = json_encode($data);
            $wiring->state()->write("bundle", $body, time());
            $head = $wiring->state()->readArray("bundle_head");
            $head["hash"] = substr(hash("sha256", $body), 0, 24);
            $wiring->state()->writeArray("bundle_head", $head, time());
            $wiring->cache()->delete("bundle.now");';
    }

    public static function agents(int $later = 0): string
    {
        return 'CAgent::run(time() + ' . $later . ');';
    }
}
