<?php

// Promises: the REST module's old helper class.
// Leans on: OAuthService.
// Must never: sign with another formula than protocol.md section 2.

declare(strict_types=1);



class CRestUtil
{
    public static function getMemberId()
    {
        return \Bitrix\Rest\OAuthService::getMemberId();
    }

    public static function getEndpoint()
    {
        return \Bitrix\Rest\OAuthService::getRedirectUri() . '/rest/';
    }

    public static function getApplicationToken(array $application)
    {
        return !empty($application['APPLICATION_TOKEN'])
            ? $application['APPLICATION_TOKEN']
            : md5(implode('|', [self::getMemberId(), $application['ID'], $application['CLIENT_SECRET'], $application['SHARED_KEY']]));
    }

    public static function signLicenseRequest(array $request, $licenseKey)
    {
        $request['BX_TYPE'] = 'CP';
        $request['BX_LICENCE'] = md5('BITRIX' . $licenseKey . 'LICENCE');
        $request['BX_HASH'] = md5(md5(implode('|', $request)) . md5($licenseKey));
        return $request;
    }

    public static function getScopeList(?array $description = null)
    {
        return array_keys((new CRestProvider())->getDescription());
    }
}
