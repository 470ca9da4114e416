<?php

// Promises: a message box of the admin pages, escaped unless it says HTML.
// Leans on: htmlspecialcharsbx.
// Must never: print raw text.

declare(strict_types=1);



class CAdminMessage
{
    public static function ShowMessage($message)
    {
        $text = implode(' ', array_filter([$message['MESSAGE'] ?? '', $message['DETAILS'] ?? '']));
        echo '<div class="adm-info-message" data-type="' . htmlspecialcharsbx($message['TYPE']) . '">'
            . (empty($message['HTML']) ? htmlspecialcharsbx($text) : $text) . "</div>\n";
    }
}
